/**
 * Operations on templates.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { NDJSON } from "../../api/Streams.js"
import { type RequestError, SandboxError } from "../../Errors.js"
import { decodeArguments, requireId } from "../../internal/arguments.js"
import { createAndWait } from "../../internal/builds.js"
import { checkDependencies } from "../../internal/dependencies.js"
import type { TemplateOperations } from "../../internal/groups.js"
import { CreateTemplateOptions, GetTemplatesOptions, StreamTemplateBuildOptions } from "../../Options.js"
import { TemplateConfig } from "../../Template.js"
import type { BuildEvent } from "../../TemplateBuild.js"
import type { Client } from "../Client.js"
import { decodeBuildRecord } from "../Decoders.js"
import { decodeRecords } from "../Records.js"
import * as Segment from "../Segment.js"

const decodePage = decodeArguments(GetTemplatesOptions, "getTemplates")
const decodeConfig = decodeArguments(TemplateConfig, "createTemplate", "config")
const decodeCreate = decodeArguments(CreateTemplateOptions, "createTemplate")
const decodeStream = decodeArguments(StreamTemplateBuildOptions, "streamTemplateBuild")

/** How often a log that breaks off is asked for again without anything of it having come. */
const RECONNECTS = 5

const RECONNECT_DELAY = "1 second"

/** Fails as the build did. */
const requireReady = (last: Option.Option<BuildEvent>): Effect.Effect<void, SandboxError> =>
  Option.isSome(last) && last.value._tag === "BuildEnded" && last.value.error !== undefined
    ? Effect.fail(new SandboxError(last.value.error))
    : Effect.void

/**
 * Makes the operations.
 */
export const templateOperations = ({ metrics, peer, request, stream }: Client): TemplateOperations => {
  const get = (id: string) =>
    request(
      { operation: "getTemplate", effect: "none" },
      (api) => api.templates.get({ path: { id } })
    )

  const remove = (id: string) =>
    request(
      { operation: "deleteTemplate", effect: "repeatable" },
      (api) => api.templates.remove({ path: { id } })
    )

  /** The log, which goes on where it was when the connection breaks: nobody would build anew for that. */
  const follow = (operation: string, id: string, after?: number): Stream.Stream<BuildEvent, RequestError> =>
    Stream.suspend(() => {
      let last = after
      let tries = RECONNECTS
      const read = (): Stream.Stream<BuildEvent, RequestError> =>
        stream(
          { operation, effect: "none", accept: NDJSON },
          (api) => api.templates.buildLog({ path: { id }, urlParams: { after: last } })
        ).pipe(
          decodeRecords(decodeBuildRecord, { peer, isLast: (event) => event._tag === "BuildEnded" }),
          Stream.tap(({ seq }) =>
            Effect.sync(() => {
              last = seq
              tries = RECONNECTS
            })
          ),
          Stream.catchTag("ConnectionError", (error) => {
            tries -= 1
            return tries < 0 ? Stream.fail(error) : Stream.unwrap(Effect.delay(Effect.sync(read), RECONNECT_DELAY))
          })
        )
      return read()
    })

  return {
    getTemplates: Effect.fn("SandboxSDK.getTemplates")(function*(page = 1, pageSize = 10) {
      const urlParams = yield* decodePage({ page, pageSize })
      return yield* request(
        { operation: "getTemplates", effect: "none" },
        (api) => api.templates.list({ urlParams })
      )
    }, metrics.track("getTemplates")),
    getTemplate: Effect.fn("SandboxSDK.getTemplate")(function*(input) {
      const id = yield* Effect.flatMap(requireId("getTemplate", input), Segment.template)
      return yield* get(id)
    }, metrics.track("getTemplate")),
    createTemplate: Effect.fn("SandboxSDK.createTemplate")(function*(input, options) {
      const config = yield* decodeConfig(input)
      const { wait = true } = yield* decodeCreate(options)
      yield* checkDependencies(config)
      const create = request(
        { operation: "createTemplate", effect: "once" },
        (api) => api.templates.create({ payload: config, urlParams: { wait: false } })
      )
      // By its log, too: a build may take an hour, and an answer of which nothing is seen for so long is cut off by what
      // lies on the way.
      return yield* wait
        ? createAndWait({
          create,
          ended: (_, { id }) => Effect.flatMap(Stream.runLast(follow("createTemplate", id)), requireReady),
          get,
          remove: (id) => Effect.ignore(remove(id))
        })
        : create
    }, metrics.track("createTemplate")),
    getTemplateBuilds: Effect.fn("SandboxSDK.getTemplateBuilds")(function*(input) {
      const id = yield* Effect.flatMap(requireId("getTemplateBuilds", input), Segment.template)
      return yield* request(
        { operation: "getTemplateBuilds", effect: "none" },
        (api) => api.templates.builds({ path: { id } })
      )
    }, metrics.track("getTemplateBuilds")),
    streamTemplateBuild: (input, options) =>
      Stream.unwrap(Effect.gen(function*() {
        const { after } = yield* decodeStream(options)
        const known = yield* requireId("streamTemplateBuild", input)
        return follow("streamTemplateBuild", yield* Segment.template(known), after)
      })).pipe(
        metrics.trackStream("streamTemplateBuild"),
        Stream.withSpan("SandboxSDK.streamTemplateBuild")
      ),
    deleteTemplate: Effect.fn("SandboxSDK.deleteTemplate")(function*(input) {
      const known = yield* requireId("deleteTemplate", input)
      const id = yield* Effect.option(Segment.template(known))
      if (id._tag === "Some") yield* remove(id.value)
    }, metrics.track("deleteTemplate"))
  }
}
