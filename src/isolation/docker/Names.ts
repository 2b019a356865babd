/**
 * What containers are called, and by which labels the next engine knows those of one that is gone.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { randomBytes } from "node:crypto"
import * as Owner from "../Owner.js"
import { type Connection } from "./Connection.js"
import { remove } from "./Start.js"

const OWNER = "sandbox-sdk.owner"
const SANDBOX = "sandbox-sdk.sandbox"

/**
 * A name for a new container, and its labels. `what` is the id of its sandbox, or what else it is for.
 */
export const next = (what: string) =>
  Effect.map(Owner.nameHere, (owner) => ({
    name: `sandbox-sdk-${what.replace(/[^a-zA-Z0-9_.-]/g, "_")}-${randomBytes(4).toString("hex")}`,
    labels: { [OWNER]: owner, [SANDBOX]: what }
  }))

const Found = Schema.Array(
  Schema.Struct({ Id: Schema.String, Labels: Schema.Record({ key: Schema.String, value: Schema.String }) })
)

/**
 * Removes the containers of engines that are gone. Mostly there are none: a container ends with its connection.
 */
export const reap = (connection: Connection): Effect.Effect<void> =>
  connection.ask<unknown>(
    "list its containers",
    (docker) => docker.listContainers({ all: true, filters: { label: [OWNER] } })
  ).pipe(
    Effect.flatMap(Schema.decodeUnknown(Found)),
    Effect.flatMap(Effect.filter(({ Labels }) => Owner.isDead(Labels[OWNER] ?? ""))),
    Effect.flatMap(Effect.forEach(({ Id }) => remove(connection, Id), { concurrency: 4, discard: true })),
    Effect.catchAll(({ message }) =>
      Effect.logWarning(`Containers of dead engines could not be looked for: ${message}`)
    ),
    Effect.withSpan("Docker.reap")
  )
