/**
 * What the layers share about ports.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type { RequestError, SandboxSDKError } from "../Errors.js"
import { TimeoutError } from "../Errors.js"
import { type PortAddress, PortNumber, WaitForPortOptions } from "../Port.js"
import { decodeArguments } from "./arguments.js"

/** What `waitForPort` does when the call does not say, in milliseconds. */
const TIMEOUT_MS = 60_000
const INTERVAL_MS = 100

/**
 * The number of a port, checked.
 */
export const requirePort = (operation: string, port: unknown): Effect.Effect<number, SandboxSDKError> =>
  Effect.suspend(() =>
    port === undefined
      ? decodeArguments(PortNumber, operation, "port")(null)
      : decodeArguments(PortNumber, operation, "port")(port)
  )

const decodeWait = decodeArguments(WaitForPortOptions, "waitForPort")

/**
 * The options of `waitForPort`, complete.
 */
export const decodeWaitForPort = (input: unknown) =>
  Effect.map(decodeWait(input), ({ intervalMs = INTERVAL_MS, timeoutMs = TIMEOUT_MS }) => ({ intervalMs, timeoutMs }))

/**
 * Fails with `TimeoutError` (`connect`) after so many milliseconds.
 */
export const withinPortTimeout = (port: number, timeoutMs: number) =>
  Effect.timeoutFail({
    duration: Duration.millis(timeoutMs),
    onTimeout: () =>
      new TimeoutError({
        message: `Nothing listened at port ${port} of the sandbox within ${timeoutMs} ms. Is its server running, and ` +
          "does it listen at 127.0.0.1 or at all addresses?",
        timeoutMs,
        operation: "connect"
      })
  })

/**
 * Whether there is nothing wrong but that nothing listens yet.
 */
export const isNotYet = (error: RequestError): boolean =>
  error._tag === "SandboxError" && error.code === "port_unavailable"

/** The segment of a URL that is the key to it. */
const segmentOf = (token: string | undefined): string => token === undefined ? "" : `~${token}/`

/**
 * The address of a port below `base`, a URL that ends with `/`.
 */
export const addressAt = (
  base: string,
  { port, sandboxId, token }: Pick<PortAddress, "port" | "sandboxId" | "token">
): PortAddress => {
  const url = `${base}${segmentOf(token)}`
  return {
    sandboxId,
    port,
    url,
    host: url.replace(/^\w+:\/\//, "").replace(/\/$/, ""),
    ...(token === undefined ? {} : { token })
  }
}

/**
 * The URL without what is the key to it.
 */
export const baseOf = ({ token, url }: PortAddress): string => {
  const segment = segmentOf(token)
  return segment !== "" && url.endsWith(segment) ? url.slice(0, -segment.length) : url
}
