/**
 * The copying of directories between this machine and a sandbox, with Node's files: loaded by the promise entry when it is asked
 * for. Where there is no Node, `localElsewhere.ts` stands in for it.
 */
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import * as NodePath from "@effect/platform-node/NodePath"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import * as Directory from "../Directory.js"

const files = Layer.merge(NodeFileSystem.layer, NodePath.layer)

/** See `uploadDirectory` of `Directory.ts`. */
export const uploadDirectory = (...args: Parameters<typeof Directory.uploadDirectory>) =>
  Stream.provideLayer(Directory.uploadDirectory(...args), files)

/** See `downloadDirectory` of `Directory.ts`. */
export const downloadDirectory = (...args: Parameters<typeof Directory.downloadDirectory>) =>
  Stream.provideLayer(Directory.downloadDirectory(...args), files)
