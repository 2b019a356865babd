/**
 * TCP ports of a sandbox, as the outside reaches them.
 */
import * as Schema from "effect/Schema"
import { Millis } from "./Options.js"

/**
 * The number of a TCP port (RFC 6335, 6).
 *
 * @category models
 */
export const PortNumber = Schema.Int.pipe(
  Schema.between(1, 65_535, { description: "a port, a whole number from 1 to 65535" })
)

/**
 * Where a port of a sandbox is reached.
 *
 * - `url` ends with `/` and works by itself, for HTTP and (with `ws` in place of `http`) for WebSockets: `new URL("api?x=1",
 *   url)`. Whoever has it can use this port, and nothing else, until `closePort`, or until the sandbox is deleted: the
 *   `token` is a part of it. Do not publish it.
 * - `host` is the same without scheme and without the last `/`: `` `https://${host}/api` ``.
 * - `port` is the port in the sandbox.
 * - `token`, sent as the header field `X-Sandbox-Token`, does what the segment `~token` of the URL does: the URL works
 *   without the segment then. Absent where the port is open to everybody who knows its URL.
 *
 * @category models
 */
export const PortAddress = Schema.Struct({
  sandboxId: Schema.String,
  port: PortNumber,
  url: Schema.String,
  host: Schema.String,
  token: Schema.optional(Schema.String)
}).annotations({ identifier: "PortAddress" })

/**
 * @category models
 */
export type PortAddress = typeof PortAddress.Type

/**
 * How it is waited for that something listens at a port: at most `timeoutMs` (60000 by default), asking every `intervalMs`
 * (100 by default).
 *
 * @category models
 */
export const WaitForPortOptions = Schema.Struct({
  timeoutMs: Schema.optional(Millis),
  intervalMs: Schema.optional(Millis)
})

/**
 * @category models
 */
export type WaitForPortOptions = typeof WaitForPortOptions.Type
