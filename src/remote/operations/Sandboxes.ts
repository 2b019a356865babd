/**
 * Operations on sandboxes as a whole.
 */
import * as Effect from "effect/Effect"
import * as ParseResult from "effect/ParseResult"
import * as Schema from "effect/Schema"
import { CreatedSandbox } from "../../api/Wire.js"
import { decodeArguments, requireId } from "../../internal/arguments.js"
import type { SandboxOperations } from "../../internal/groups.js"
import { sourceOf } from "../../internal/source.js"
import { CreateSandboxOptions, ExtendSandboxOptions, ListSandboxesOptions } from "../../Options.js"
import type { Client } from "../Client.js"
import { create } from "../Route.js"
import * as Segment from "../Segment.js"

const decodeCreate = decodeArguments(CreateSandboxOptions, "createSandbox")
const decodeList = decodeArguments(ListSandboxesOptions, "listSandboxes")
const decodeExtend = decodeArguments(ExtendSandboxOptions, "extendSandbox")

const decodeCreated = ParseResult.decodeUnknownEither(Schema.parseJson(CreatedSandbox))

const requireSandbox = (operation: string, id: unknown) => Effect.flatMap(requireId(operation, id), Segment.sandbox)

/**
 * Makes the operations.
 */
export const sandboxOperations = ({ ask, metrics, request }: Client): SandboxOperations => ({
  createSandbox: Effect.fn("SandboxSDK.createSandbox")(function*(input) {
    const payload = yield* decodeCreate(input)
    yield* sourceOf(payload)
    const created = yield* ask({ operation: "createSandbox", effect: "once" }, create(payload), decodeCreated)
    yield* metrics.sandboxCreated(created.sandbox.id)
    return created
  }, metrics.track("createSandbox")),
  getSandbox: Effect.fn("SandboxSDK.getSandbox")(function*(input) {
    const id = yield* requireSandbox("getSandbox", input)
    return yield* request(
      { operation: "getSandbox", effect: "none" },
      (api) => api.sandboxes.get({ path: { id } })
    )
  }, metrics.track("getSandbox")),
  getSandboxStatus: Effect.fn("SandboxSDK.getSandboxStatus")(function*(input) {
    const id = yield* requireSandbox("getSandboxStatus", input)
    const { status } = yield* request(
      { operation: "getSandboxStatus", effect: "none" },
      (api) => api.sandboxes.status({ path: { id } })
    )
    return status
  }, metrics.track("getSandboxStatus")),
  getSandboxMetrics: Effect.fn("SandboxSDK.getSandboxMetrics")(function*(input) {
    const id = yield* requireSandbox("getSandboxMetrics", input)
    return yield* request(
      { operation: "getSandboxMetrics", effect: "none" },
      (api) => api.sandboxes.metrics({ path: { id } })
    )
  }, metrics.track("getSandboxMetrics")),
  listSandboxes: Effect.fn("SandboxSDK.listSandboxes")(function*(input) {
    const urlParams = yield* decodeList(input)
    return yield* request(
      { operation: "listSandboxes", effect: "none" },
      (api) => api.sandboxes.list({ urlParams })
    )
  }, metrics.track("listSandboxes")),
  startSandbox: Effect.fn("SandboxSDK.startSandbox")(function*(input) {
    const id = yield* requireSandbox("startSandbox", input)
    return yield* request(
      { operation: "startSandbox", effect: "repeatable" },
      (api) => api.sandboxes.start({ path: { id } })
    )
  }, metrics.track("startSandbox")),
  stopSandbox: Effect.fn("SandboxSDK.stopSandbox")(function*(input) {
    const id = yield* requireSandbox("stopSandbox", input)
    return yield* request(
      { operation: "stopSandbox", effect: "repeatable" },
      (api) => api.sandboxes.stop({ path: { id } })
    )
  }, metrics.track("stopSandbox")),
  pauseSandbox: Effect.fn("SandboxSDK.pauseSandbox")(function*(input) {
    const id = yield* requireSandbox("pauseSandbox", input)
    return yield* request(
      { operation: "pauseSandbox", effect: "repeatable" },
      (api) => api.sandboxes.pause({ path: { id } })
    )
  }, metrics.track("pauseSandbox")),
  resumeSandbox: Effect.fn("SandboxSDK.resumeSandbox")(function*(input) {
    const id = yield* requireSandbox("resumeSandbox", input)
    return yield* request(
      { operation: "resumeSandbox", effect: "repeatable" },
      (api) => api.sandboxes.resume({ path: { id } })
    )
  }, metrics.track("resumeSandbox")),
  extendSandbox: Effect.fn("SandboxSDK.extendSandbox")(function*(input, ms) {
    const id = yield* requireSandbox("extendSandbox", input)
    const payload = yield* decodeExtend({ ms })
    return yield* request(
      { operation: "extendSandbox", effect: "repeatable" },
      (api) => api.sandboxes.extend({ path: { id }, payload })
    )
  }, metrics.track("extendSandbox")),
  getUsage: Effect.fn("SandboxSDK.getUsage")(
    () => request({ operation: "getUsage", effect: "none" }, (api) => api.service.usage()),
    metrics.track("getUsage")
  ),
  deleteSandbox: Effect.fn("SandboxSDK.deleteSandbox")(function*(input) {
    const known = yield* requireId("deleteSandbox", input)
    const id = yield* Effect.option(Segment.sandbox(known))
    if (id._tag === "Some") {
      yield* request(
        { operation: "deleteSandbox", effect: "repeatable" },
        (api) => api.sandboxes.remove({ path: { id: id.value } })
      )
    }
    yield* metrics.sandboxDeleted(known)
  }, metrics.track("deleteSandbox"))
})
