/**
 * Snapshots, which E2B's clients also create sandboxes of, as they do of templates.
 */
import * as HttpRouter from "@effect/platform/HttpRouter"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { SandboxError } from "../../Errors.js"
import type { Service } from "../../SandboxSDK.js"
import type { Snapshot } from "../../Snapshot.js"
import type { Caller } from "./Caller.js"
import { body, empty, json, parameter, query } from "./Requests.js"

const Making = Schema.Struct({ name: Schema.optional(Schema.String) })

const Listing = Schema.Struct({ sandboxID: Schema.optional(Schema.String), name: Schema.optional(Schema.String) })

const describe = ({ id, name }: Snapshot) => ({ snapshotID: id, names: name === undefined ? [] : [name] })

/**
 * The routes of the control plane.
 */
export const routes = (sdk: Service, caller: Caller) => {
  const make = caller.byKey(() =>
    Effect.gen(function*() {
      const id = yield* parameter("id")
      const { name } = yield* body(Making)
      return json(describe(yield* sdk.snapshotSandbox(id, { name })), 201)
    })
  )

  const list = caller.byKey(() =>
    Effect.gen(function*() {
      const { name, sandboxID } = yield* query(Listing)
      const found = (yield* sdk.listSnapshots()).filter((one) =>
        (sandboxID === undefined || one.sandboxId === sandboxID) && (name === undefined || one.name === name)
      )
      return json(found.map(describe))
    })
  )

  const remove = caller.byKey(() =>
    Effect.gen(function*() {
      const id = yield* parameter("id")
      if (!(yield* sdk.listSnapshots()).some((one) => one.id === id)) {
        return yield* new SandboxError({ code: "not_found", message: "There is no such snapshot." })
      }
      yield* sdk.deleteSnapshot(id)
      return empty
    })
  )

  return HttpRouter.empty.pipe(
    HttpRouter.post("/sandboxes/:id/snapshots", make),
    HttpRouter.get("/snapshots", list),
    HttpRouter.del("/templates/:id", remove)
  )
}
