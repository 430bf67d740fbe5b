/** For the few routes whose bodies may be larger than the usual 64 KiB. */
import * as HttpApiMiddleware from "@effect/platform/HttpApiMiddleware"
import * as HttpIncomingMessage from "@effect/platform/HttpIncomingMessage"

/** Up to 1 MiB. */
export class LargeBody extends HttpApiMiddleware.Tag<LargeBody>()("mana/LargeBody", {
  provides: HttpIncomingMessage.MaxBodySize
}) {}
