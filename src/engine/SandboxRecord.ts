/**
 * What is remembered of a sandbox, also across engines.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type { SandboxError } from "../Errors.js"
import { CreateSandboxOptions } from "../Options.js"
import { SandboxTemplate } from "../Template.js"
import type { DataDirectory } from "./DataDirectory.js"
import { makeRecordFolders, type RecordFolders } from "./RecordFolders.js"

const Id = Schema.String.pipe(Schema.pattern(/^sbx_[a-z2-7]{20}$/))

/**
 * A sandbox as it was asked for. Times are milliseconds since the epoch.
 */
export const SandboxRecord = Schema.Struct({
  id: Id,
  userId: Schema.String,
  options: CreateSandboxOptions,
  template: SandboxTemplate,
  createdAt: Schema.Number,
  updatedAt: Schema.Number,
  expiresAt: Schema.optional(Schema.Number)
})

/** @category models */
export type SandboxRecord = typeof SandboxRecord.Type

/** The folder of the agent's pipes, where nothing isolates it. */
const RUN_FOLDER = /^run-/

/**
 * The workspace in the folder of a sandbox.
 */
export const workspaceIn = (folder: string): string => `${folder}/workspace`

/**
 * The folders of sandboxes, and the record in each.
 */
export interface SandboxFolders extends Omit<RecordFolders<SandboxRecord>, "create"> {
  /** Makes the folder of a sandbox that is new, has its workspace made at a path in it, and writes its record. */
  readonly create: <E, R>(
    record: SandboxRecord,
    makeWorkspace: (path: string) => Effect.Effect<void, E, R>
  ) => Effect.Effect<void, SandboxError | E, R>
  readonly workspace: (id: string) => string
}

/**
 * The folders of an engine. They are loaded oldest first.
 */
export const makeSandboxFolders = ({ persistent, sandboxes }: DataDirectory): SandboxFolders => {
  const folders = makeRecordFolders({
    directory: sandboxes,
    // Those that end with their engine are found by nobody.
    kept: persistent,
    what: "sandbox",
    file: "sandbox.json",
    schema: SandboxRecord,
    isId: Schema.is(Id),
    isLeftover: (name) => RUN_FOLDER.test(name)
  })
  return {
    ...folders,
    create: (record, makeWorkspace) => folders.create(record, (folder) => makeWorkspace(workspaceIn(folder))),
    workspace: (id) => workspaceIn(folders.folder(id)),
    load: Effect.map(folders.load, (records) => [...records].sort((a, b) => a.createdAt - b.createdAt))
  }
}
