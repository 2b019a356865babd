/**
 * Requests that make a sandbox.
 */
import * as Effect from "effect/Effect"
import type { CreateSandboxOptions } from "../Options.js"
import * as Quotas from "../Quotas.js"
import { SandboxSDK } from "../SandboxSDK.js"

/**
 * Makes what carries them out: for a user, who is the `CurrentUser` then, if that user may have one more.
 */
export const make = Effect.gen(function*() {
  const sdk = yield* SandboxSDK
  const quotas = yield* Quotas.Quotas
  const owned = Effect.map(sdk.listSandboxes(), (sandboxes) => sandboxes.length)
  return (userId: string, options: CreateSandboxOptions) =>
    quotas.createSandbox(userId, owned)(sdk.createSandbox(options))
})
