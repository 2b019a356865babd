/**
 * Errors as the JSON that they are answered with.
 */
import * as Schema from "effect/Schema"
import { RequestError } from "../Errors.js"

const encode = Schema.encodeSync(RequestError)

/**
 * The body for an error. What caused it stays here: it may speak of this machine.
 */
export const encodeError = (error: RequestError): Readonly<Record<string, unknown>> => {
  const { cause: _, ...body }: Readonly<Record<string, unknown>> = { ...encode(error) }
  return body
}
