/**
 * All pages of the templates.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import type { RequestError } from "../Errors.js"
import type { Service } from "../SandboxSDK.js"
import type { SandboxTemplate } from "../Template.js"

const PAGE_SIZE = 100

/**
 * The templates that the caller sees.
 */
export const allTemplates = (service: Service): Effect.Effect<ReadonlyArray<SandboxTemplate>, RequestError> =>
  Stream.paginateEffect(1, (page) =>
    Effect.map(
      service.getTemplates(page, PAGE_SIZE),
      ({ templates, total }) => [templates, page * PAGE_SIZE < total ? Option.some(page + 1) : Option.none()] as const
    )).pipe(Stream.runCollect, Effect.map((pages) => [...pages].flat()))
