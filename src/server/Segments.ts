/**
 * Answers in parts. A client that says so gets an answer that ends after so many bytes of events, or after some time, and
 * then asks for the events after the last one. So the server knows what has arrived, no answer is open for hours, and the
 * client can always read one to its end, however slow whoever reads from it is.
 */
import type * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import * as Effect from "effect/Effect"
import { READER, SEGMENT } from "../api/Headers.js"
import { type Problem, problem } from "./Problem.js"

/**
 * How much of a stream a request asks for, and who reads it.
 */
export interface Segment {
  /** Bytes of events; 0 is none at all: it only shows that somebody is there. */
  readonly bytes: number
  readonly reader: string | undefined
}

/** A client that asks for more gets this much: what has not been acknowledged has to be kept. */
const MAX_BYTES = 4 * 1024 * 1024

const malformed = (field: string, message: string) => Effect.fail(problem(400, message, { field }))

/**
 * What a request says about it; `undefined` when it wants the whole in one answer.
 */
export const segmentOf = (
  { headers }: HttpServerRequest.HttpServerRequest
): Effect.Effect<Segment | undefined, Problem> => {
  const bytes = headers[SEGMENT]
  const reader = headers[READER]
  if (reader !== undefined && !/^[\x21-\x7e]{1,255}$/.test(reader)) {
    return malformed(READER, `${READER} must have 1 to 255 visible ASCII characters.`)
  }
  return bytes === undefined
    ? Effect.succeed(undefined)
    : /^\d{1,15}$/.test(bytes)
    ? Effect.succeed({ bytes: Math.min(Number(bytes), MAX_BYTES), reader })
    : malformed(SEGMENT, `${SEGMENT} must be a whole number of bytes.`)
}
