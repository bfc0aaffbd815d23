// Page of one message.

import { enableCopying } from "./copy.js";
import { follow, showLocalTimes } from "./live.js";

showLocalTimes(document);
enableCopying(document);
follow(() => {});
