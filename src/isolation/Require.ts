/**
 * Guarantees that a program asks for by name: they must be enforced, and not merely watched.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { SandboxError } from "../Errors.js"
import type { Guarantee } from "./Guarantee.js"
import { Isolation, type Service } from "./Isolation.js"

/** Why what was asked for is not there; nothing when it is. */
const lack = (found: ReadonlyArray<Guarantee>, id: string): string | undefined => {
  const guarantee = found.find((one) => one.id === id)
  if (guarantee === undefined) {
    return `This isolation knows no guarantee "${id}"; it knows ${found.map((one) => one.id).join(", ")}`
  }
  if (guarantee.holds && guarantee.soft !== true) return undefined
  const { detail, fix, mechanism, title } = guarantee
  return `${title}: ${guarantee.holds ? `only ${mechanism}` : "no"}${detail === undefined ? "" : ` (${detail})`}` +
    (fix === undefined ? "" : `. To help: ${fix}`)
}

const strict = (ids: ReadonlyArray<string>) => (isolation: Service): Service => ({
  ...isolation,
  forImage: (image) => Effect.map(isolation.forImage(image), strict(ids)),
  check: Effect.tap(isolation.check, (found) => {
    const lacking = ids.flatMap((id) => lack(found, id) ?? [])
    return lacking.length === 0 ? Effect.void : new SandboxError({
      code: "isolation_unavailable",
      message: `This host does not give what was asked for by \`require\`. ${lacking.join(". ")}`
    })
  })
})

/**
 * The same isolation, whose check fails with `isolation_unavailable` as well when one of these guarantees (by the ids that
 * `sandbox doctor --json` shows) does not hold or is `soft` on this host.
 */
export const requiring =
  (ids: ReadonlyArray<string>) => <E, R>(layer: Layer.Layer<Isolation, E, R>): Layer.Layer<Isolation, E, R> =>
    ids.length === 0 ? layer : Layer.provide(
      Layer.effect(Isolation, Effect.map(Isolation, strict(ids))),
      layer
    )
