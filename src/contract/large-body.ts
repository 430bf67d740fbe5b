/** For the few routes whose bodies may be larger than the usual 64 KiB. */
import { HttpApiMiddleware, HttpIncomingMessage } from "@effect/platform"

/** Up to 1 MiB. */
export class LargeBody extends HttpApiMiddleware.Tag<LargeBody>()("mana/LargeBody", {
  provides: HttpIncomingMessage.MaxBodySize
}) {}
