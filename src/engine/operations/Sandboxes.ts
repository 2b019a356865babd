/**
 * Operations on sandboxes as a whole.
 */
import * as Effect from "effect/Effect"
import { CurrentUser } from "../../CurrentUser.js"
import { decodeArguments, requireId } from "../../internal/arguments.js"
import type { SandboxOperations } from "../../internal/groups.js"
import { ofTemplate } from "../../isolation/Isolation.js"
import { CreateSandboxOptions, ExtendSandboxOptions, ListSandboxesOptions } from "../../Options.js"
import * as Resources from "../Resources.js"
import type { Parts } from "./Parts.js"

const decodeCreate = decodeArguments(CreateSandboxOptions, "createSandbox")
const decodeList = decodeArguments(ListSandboxesOptions, "listSandboxes")
const decodeExtend = decodeArguments(ExtendSandboxOptions, "extendSandbox")

/**
 * Makes the operations.
 */
export const sandboxOperations = (
  { builds, checkNetwork, isolation: machine, registry, templates }: Parts
): SandboxOperations => ({
  createSandbox: Effect.fn("SandboxSDK.createSandbox")(function*(input) {
    const options = yield* decodeCreate(input)
    const userId = yield* CurrentUser
    const template = yield* templates.get(userId, options.templateId).pipe(
      // Where no sandbox can be started at all, nothing can be told of interpreters: that is what has to be mended first.
      Effect.tapError(({ code }) => code === "template_unavailable" ? machine.check : Effect.void)
    )
    const isolation = yield* ofTemplate(machine, template)
    yield* checkNetwork(options.network, isolation.ownNetwork)
    yield* Resources.check("createSandbox", options.resources, template.config.resources)
    yield* isolation.check
    if (template.build !== undefined) yield* builds.ready(template.build.id)
    return { sandbox: yield* registry.create(userId, options, template) }
  }),
  getSandbox: Effect.fn("SandboxSDK.getSandbox")(function*(id) {
    const known = yield* requireId("getSandbox", id)
    return yield* registry.get(yield* CurrentUser, known)
  }),
  getSandboxStatus: Effect.fn("SandboxSDK.getSandboxStatus")(function*(id) {
    const known = yield* requireId("getSandboxStatus", id)
    const { status } = yield* registry.get(yield* CurrentUser, known)
    return status
  }),
  listSandboxes: Effect.fn("SandboxSDK.listSandboxes")(function*(input) {
    const options = yield* decodeList(input)
    return yield* registry.list(yield* CurrentUser, options)
  }),
  startSandbox: Effect.fn("SandboxSDK.startSandbox")(function*(id) {
    const known = yield* requireId("startSandbox", id)
    return yield* registry.start(yield* CurrentUser, known)
  }),
  stopSandbox: Effect.fn("SandboxSDK.stopSandbox")(function*(id) {
    const known = yield* requireId("stopSandbox", id)
    return yield* registry.stop(yield* CurrentUser, known)
  }),
  pauseSandbox: Effect.fn("SandboxSDK.pauseSandbox")(function*(id) {
    const known = yield* requireId("pauseSandbox", id)
    return yield* registry.pause(yield* CurrentUser, known)
  }),
  resumeSandbox: Effect.fn("SandboxSDK.resumeSandbox")(function*(id) {
    const known = yield* requireId("resumeSandbox", id)
    return yield* registry.resume(yield* CurrentUser, known)
  }),
  extendSandbox: Effect.fn("SandboxSDK.extendSandbox")(function*(id, input) {
    const known = yield* requireId("extendSandbox", id)
    const { ms } = yield* decodeExtend({ ms: input })
    return yield* registry.extend(yield* CurrentUser, known, ms)
  }),
  getUsage: Effect.fn("SandboxSDK.getUsage")(function*() {
    return yield* registry.usage(yield* CurrentUser)
  }),
  deleteSandbox: Effect.fn("SandboxSDK.deleteSandbox")(function*(id) {
    const known = yield* requireId("deleteSandbox", id)
    yield* registry.remove(yield* CurrentUser, known)
  })
})
