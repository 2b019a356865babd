/**
 * Files of a sandbox, as the code in it sees them.
 */
import * as Schema from "effect/Schema"

/**
 * What a directory entry is.
 *
 * @category models
 */
export const FileType = Schema.Literal("file", "directory", "symlink", "fifo", "socket", "device", "unknown")

/**
 * @category models
 */
export type FileType = typeof FileType.Type

/**
 * One entry. `path` is absolute in the sandbox; `size` is in bytes; times are milliseconds since the epoch; `mode` is
 * the permission bits (`0o644` is 420). A symbolic link is described itself, not what it points to: `target` is its
 * text.
 *
 * @category models
 */
export const FileInfo = Schema.Struct({
  path: Schema.String,
  name: Schema.String,
  type: FileType,
  isDirectory: Schema.Boolean,
  size: Schema.Finite,
  mode: Schema.Finite,
  createdAt: Schema.Finite,
  modifiedAt: Schema.Finite,
  target: Schema.optional(Schema.String)
})

/**
 * @category models
 */
export type FileInfo = typeof FileInfo.Type

/**
 * The entries of one directory, sorted by name.
 *
 * @category models
 */
export const FileListResponse = Schema.Struct({
  files: Schema.Array(FileInfo),
  directory: Schema.String
})

/**
 * @category models
 */
export type FileListResponse = typeof FileListResponse.Type

/**
 * What happened to an entry: `created` (also by being moved here), `modified` (its content was written and closed),
 * `deleted` (also by being moved away), `renamed` (moved within what is watched; `path` is where it is now and `from`
 * where it was), `attributes` (permissions, owner or times changed).
 *
 * @category models
 */
export const FileEvent = Schema.Struct({
  type: Schema.Literal("created", "modified", "deleted", "renamed", "attributes"),
  path: Schema.String,
  isDirectory: Schema.Boolean,
  from: Schema.optional(Schema.String)
})

/**
 * @category models
 */
export type FileEvent = typeof FileEvent.Type

/**
 * A file to be written: a text, in UTF-8, or bytes.
 *
 * @category models
 */
export interface FileToWrite {
  readonly path: string
  readonly content: string | Uint8Array
}

/**
 * A file that was read. `path` is what was asked for.
 *
 * @category models
 */
export interface FileContent {
  readonly path: string
  readonly content: Uint8Array
}
