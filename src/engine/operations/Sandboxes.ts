/**
 * Operations on sandboxes as a whole.
 */
import * as Effect from "effect/Effect"
import { CurrentUser } from "../../CurrentUser.js"
import type { SandboxSDKError } from "../../Errors.js"
import { decodeArguments, invalidArgument, requireId } from "../../internal/arguments.js"
import type { SandboxOperations } from "../../internal/groups.js"
import { sourceOf } from "../../internal/source.js"
import { ofTemplate, type Service } from "../../isolation/Isolation.js"
import { CreateSandboxOptions, ExtendSandboxOptions, ListSandboxesOptions } from "../../Options.js"
import type { SandboxTemplate } from "../../Template.js"
import * as Resources from "../Resources.js"
import type { SnapshotRecord } from "../Snapshots.js"
import type { Parts } from "./Parts.js"

const decodeCreate = decodeArguments(CreateSandboxOptions, "createSandbox")
const decodeList = decodeArguments(ListSandboxesOptions, "listSandboxes")
const decodeExtend = decodeArguments(ExtendSandboxOptions, "extendSandbox")

/**
 * What a sandbox from a snapshot is made with: what is said, and for the rest what the sandbox of the snapshot was made with.
 * Fails with `invalid_argument` for a disk of another size than the files are on.
 */
const withSnapshot = (
  { fromSnapshot: _, initialEnvVars, metadata, resources, ...own }: CreateSandboxOptions,
  { options, template }: SnapshotRecord
): Effect.Effect<CreateSandboxOptions, SandboxSDKError> => {
  const wanted: CreateSandboxOptions = {
    ...options,
    ...own,
    templateId: template.id,
    initialEnvVars: { ...options.initialEnvVars, ...initialEnvVars },
    metadata: { ...options.metadata, ...metadata },
    resources: { ...options.resources, ...resources }
  }
  const { diskMb } = Resources.resolve(options.resources, template.config.resources)
  return resources?.diskMb === undefined || resources.diskMb === diskMb ? Effect.succeed(wanted) : Effect.fail(
    invalidArgument(
      "createSandbox",
      "resources.diskMb",
      `resources.diskMb is ${resources.diskMb}, but the files of the snapshot are on a disk of ${diskMb} MiB; leave it out.`
    )
  )
}

/**
 * Makes the operations.
 */
export const sandboxOperations = (
  { builds, checkNetwork, isolation: machine, registry, snapshots, templates }: Parts
): SandboxOperations => ({
  createSandbox: Effect.fn("SandboxSDK.createSandbox")(function*(input) {
    const options = yield* decodeCreate(input)
    const userId = yield* CurrentUser
    const source = yield* sourceOf(options)

    const check = (wanted: CreateSandboxOptions, { config }: SandboxTemplate, { ownNetwork }: Service) =>
      Effect.zipRight(
        checkNetwork(wanted.network, ownNetwork),
        Resources.check("createSandbox", wanted.resources, config.resources)
      )

    const create = Effect.fnUntraced(function*(
      wanted: CreateSandboxOptions,
      template: SandboxTemplate,
      from: string | undefined
    ) {
      const isolation = yield* ofTemplate(machine, template)
      yield* check(wanted, template, isolation)
      yield* isolation.check
      if (template.build !== undefined) yield* builds.ready(template.build.id)
      return { sandbox: yield* registry.create(userId, wanted, template, from) }
    })

    if ("snapshotId" in source) {
      return yield* snapshots.using(userId, source.snapshotId, (record, workspace) =>
        Effect.flatMap(
          withSnapshot(options, record),
          (wanted) => create(wanted, record.template, workspace)
        ))
    }
    const ahead = yield* registry.ahead(source.templateId)
    if (ahead !== undefined) {
      yield* check(options, ahead, machine)
      const sandbox = yield* registry.adopt(userId, options, ahead)
      if (sandbox !== undefined) return { sandbox }
    }
    const template = yield* templates.get(userId, source.templateId).pipe(
      // Where no sandbox can be started at all, nothing can be told of interpreters: that is what has to be mended first.
      Effect.tapError(({ code }) => code === "template_unavailable" ? machine.check : Effect.void)
    )
    return yield* create(options, template, undefined)
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
  getSandboxMetrics: Effect.fn("SandboxSDK.getSandboxMetrics")(function*(id) {
    const known = yield* requireId("getSandboxMetrics", id)
    return yield* registry.measure(yield* CurrentUser, known)
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
    const userId = yield* CurrentUser
    const { sandboxes, storageBytes } = yield* registry.usage(userId)
    return { sandboxes, storageBytes: storageBytes + snapshots.usage(userId) + builds.usage(userId) }
  }),
  deleteSandbox: Effect.fn("SandboxSDK.deleteSandbox")(function*(id) {
    const known = yield* requireId("deleteSandbox", id)
    yield* registry.remove(yield* CurrentUser, known)
  })
})
