/**
 * The copying of files and directories between this machine and a sandbox, with Node's files: loaded by the promise entry when
 * it is asked for. Where there is no Node, `localElsewhere.ts` stands in for it.
 */
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import * as NodePath from "@effect/platform-node/NodePath"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import * as Directory from "../Directory.js"
import * as LocalFile from "../LocalFile.js"

const files = Layer.merge(NodeFileSystem.layer, NodePath.layer)

/** See `uploadFile` of `LocalFile.ts`. */
export const uploadFile = (...args: Parameters<typeof LocalFile.uploadFile>) =>
  Effect.provide(LocalFile.uploadFile(...args), files)

/** See `downloadFile` of `LocalFile.ts`. */
export const downloadFile = (...args: Parameters<typeof LocalFile.downloadFile>) =>
  Effect.provide(LocalFile.downloadFile(...args), files)

/** See `uploadDirectory` of `Directory.ts`. */
export const uploadDirectory = (...args: Parameters<typeof Directory.uploadDirectory>) =>
  Stream.provideLayer(Directory.uploadDirectory(...args), files)

/** See `downloadDirectory` of `Directory.ts`. */
export const downloadDirectory = (...args: Parameters<typeof Directory.downloadDirectory>) =>
  Stream.provideLayer(Directory.downloadDirectory(...args), files)
