//! Creates names that cannot be guessed.

/// Returns 128 random bits as 32 hexadecimal digits. Returns an error if the system provides no randomness.
pub(crate) fn id() -> Result<String, getrandom::Error> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)?;
    let digits = |id: String, byte: &u8| id + &format!("{byte:02x}");
    Ok(bytes.iter().fold(String::new(), digits))
}
