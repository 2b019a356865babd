/**
 * How long a server that says that it is there may be silent before its connection is taken for broken.
 */
import { ConnectionError } from "../Errors.js"
import type { Peer } from "./Failures.js"

/** In so many steps the silence is measured, each as long as there is from one sign of life to the next. */
export const PATIENCE = 3

/** What the network may add to that. */
const LENIENCE_MS = 2_000

/**
 * The longest silence, in milliseconds, of a server that gives signs of life so far apart.
 */
export const limitOf = (heartbeatMs: number): number => PATIENCE * heartbeatMs + LENIENCE_MS

/**
 * Nothing came for too long.
 */
export const silent = ({ url }: Peer, ms: number): ConnectionError =>
  new ConnectionError({
    message: `Nothing has come from ${url} for ${ms} ms, not even a sign of life: the connection is taken for broken.`,
    url
  })
