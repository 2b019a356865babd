/**
 * What goes wrong before any handler: HTTP has a status code of its own for it.
 */
import * as Data from "effect/Data"
import type { protocolStatuses } from "../Api.js"
import { SandboxSDKError } from "../Errors.js"

/**
 * An answer that is more exact than the table of errors. Handlers do not know of it: it travels as a defect.
 */
export class Problem extends Data.TaggedError("Problem")<{
  readonly status: typeof protocolStatuses[number] | 400 | 403
  readonly error: SandboxSDKError
  readonly headers?: Readonly<Record<string, string>>
}> {}

/**
 * Makes one. `message` is the sentence that the caller reads.
 */
export const problem = (
  status: Problem["status"],
  message: string,
  options?: { readonly field?: string; readonly headers?: Readonly<Record<string, string>> }
): Problem =>
  new Problem({
    status,
    error: new SandboxSDKError({
      code: status === 403 ? "forbidden" : "invalid_argument",
      message,
      ...(options?.field === undefined ? {} : { field: options.field })
    }),
    ...(options?.headers === undefined ? {} : { headers: options.headers })
  })
