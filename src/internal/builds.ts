/**
 * Making a template and waiting for its build, the same in every layer.
 */
import * as Effect from "effect/Effect"
import type { SandboxTemplate } from "../Template.js"
import type { TemplateBuild } from "../TemplateBuild.js"

/**
 * What a layer can do with templates.
 */
export interface CreateAndWait<E, E2> {
  /** Makes the template; its build has begun then. */
  readonly create: Effect.Effect<SandboxTemplate, E>
  /** Waits for the end of a build, and fails with what it failed with. */
  readonly ended: (build: TemplateBuild, template: SandboxTemplate) => Effect.Effect<void, E2>
  readonly get: (id: string) => Effect.Effect<SandboxTemplate, E2>
  readonly remove: (id: string) => Effect.Effect<void>
}

/**
 * Makes a template that can be used. When its build fails, or when nobody waits for it any more, there is no template.
 */
export const createAndWait = <E, E2>(
  { create, ended, get, remove }: CreateAndWait<E, E2>
): Effect.Effect<SandboxTemplate, E | E2> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.flatMap(
      create,
      (template) =>
        template.build === undefined ? Effect.succeed(template) : restore(ended(template.build, template)).pipe(
          Effect.zipRight(restore(get(template.id))),
          Effect.onError(() => remove(template.id))
        )
    )
  )
