/**
 * What a sandbox is made from: a template or a snapshot.
 */
import * as Effect from "effect/Effect"
import type { SandboxSDKError } from "../Errors.js"
import type { CreateSandboxOptions } from "../Options.js"
import { invalidArgument } from "./issue.js"

/**
 * Exactly one of the two.
 */
export type Source = { readonly templateId: string } | { readonly snapshotId: string }

/**
 * What the options name. Fails with `invalid_argument` when it is nothing, or both.
 */
export const sourceOf = ({ fromSnapshot, templateId }: CreateSandboxOptions): Effect.Effect<Source, SandboxSDKError> =>
  fromSnapshot === undefined
    ? templateId === undefined
      ? Effect.fail(invalidArgument(
        "createSandbox",
        "templateId",
        "templateId is missing; it must be the id of a template, such as \"python\" (or fromSnapshot that of a snapshot)."
      ))
      : Effect.succeed({ templateId })
    : templateId === undefined
    ? Effect.succeed({ snapshotId: fromSnapshot })
    : Effect.fail(invalidArgument(
      "createSandbox",
      "fromSnapshot",
      "fromSnapshot and templateId cannot both be given: a snapshot has the template of its sandbox."
    ))
