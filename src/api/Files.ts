/**
 * Routes of the files of a sandbox.
 */
import * as HttpApiEndpoint from "@effect/platform/HttpApiEndpoint"
import * as HttpApiGroup from "@effect/platform/HttpApiGroup"
import * as HttpApiSchema from "@effect/platform/HttpApiSchema"
import * as OpenApi from "@effect/platform/OpenApi"
import * as Schema from "effect/Schema"
import { FileInfo, FileListResponse } from "../File.js"
import { MakeDirectoryOptions, ReadFileOptions, WriteFileOptions } from "../Options.js"
import * as Query from "./Query.js"
import { sandboxId } from "./Sandboxes.js"
import { Authorization } from "./Security.js"
import { BYTES, givesBytes, NDJSON, streamsRecords, takesBytes } from "./Streams.js"
import { Done } from "./Wire.js"

const ofPath = Schema.Struct({ path: Query.path })

const ofDirectory = Schema.Struct({ path: Schema.optional(Query.directory) })

const Written = Schema.Struct({ path: Schema.String })

/**
 * @category groups
 */
export class Files extends HttpApiGroup.make("files")
  .add(
    HttpApiEndpoint.get("read")`/api/sandboxes/${sandboxId}/files`
      .setUrlParams(Schema.Struct({ ...ofPath.fields, ...ReadFileOptions.fields }))
      .addSuccess(Schema.Struct({ content: Schema.String }))
      .annotate(OpenApi.Description, "The text of a file, or with `encoding=base64` its bytes as base64.")
  )
  .add(
    HttpApiEndpoint.post("write")`/api/sandboxes/${sandboxId}/files`
      .setUrlParams(ofPath)
      .setPayload(Schema.Struct({ content: Schema.String, ...WriteFileOptions.fields }))
      .addSuccess(Written)
      .annotate(OpenApi.Description, "Writes a text to a file, atomically. The answer is its absolute path.")
  )
  .add(
    HttpApiEndpoint.post("writeMany")`/api/sandboxes/${sandboxId}/files/batch/write`
      .setPayload(Schema.Struct({
        files: Schema.Array(Schema.Struct({
          path: Schema.String,
          content: Schema.String,
          encoding: Schema.optional(Schema.Literal("utf-8", "base64"))
        })),
        ...WriteFileOptions.fields
      }))
      .addSuccess(Schema.Struct({ paths: Schema.Array(Schema.String) }))
      .annotate(
        OpenApi.Description,
        "Writes many files, each atomically, in this order; stops at the first that cannot be written. `content` is a " +
          "text, or with the `encoding` \"base64\" bytes. The answer is their absolute paths."
      )
  )
  .add(
    HttpApiEndpoint.post("readMany")`/api/sandboxes/${sandboxId}/files/batch/read`
      .setPayload(Schema.Struct({ paths: Schema.Array(Schema.String) }))
      .addSuccess(Schema.Struct({
        files: Schema.Array(Schema.Struct({ path: Schema.String, content: Schema.String }))
      }))
      .annotate(
        OpenApi.Description,
        "The contents of many files as base64, in the order of the paths; at most 32 MiB. One that cannot be read fails all."
      )
  )
  .add(
    HttpApiEndpoint.del("remove")`/api/sandboxes/${sandboxId}/files`
      .setUrlParams(ofPath)
      .addSuccess(Done)
      .annotate(OpenApi.Description, "Removes a file, or a directory with all that is in it.")
  )
  .add(
    HttpApiEndpoint.get("list")`/api/sandboxes/${sandboxId}/files/list`
      .setUrlParams(ofDirectory)
      .addSuccess(FileListResponse)
      .annotate(OpenApi.Description, "The entries of a directory, sorted by name.")
  )
  .add(
    HttpApiEndpoint.get("stat")`/api/sandboxes/${sandboxId}/files/stat`
      .setUrlParams(ofPath)
      .addSuccess(FileInfo)
      .annotate(OpenApi.Description, "One entry; of a symbolic link, what it points to.")
  )
  .add(
    HttpApiEndpoint.post("makeDirectory")`/api/sandboxes/${sandboxId}/files/directory`
      .setUrlParams(ofPath)
      .setPayload(MakeDirectoryOptions)
      .addSuccess(FileInfo)
      .annotate(OpenApi.Description, "Makes a directory.")
  )
  .add(
    HttpApiEndpoint.post("move")`/api/sandboxes/${sandboxId}/files/move`
      .setPayload(Schema.Struct({ path: Query.path, to: Query.path }))
      .addSuccess(FileInfo)
      .annotate(OpenApi.Description, "Moves a file or directory to another path; a file that is there is replaced.")
  )
  .add(
    HttpApiEndpoint.get("watch")`/api/sandboxes/${sandboxId}/files/watch`
      .setUrlParams(Schema.Struct({ ...ofDirectory.fields, recursive: Schema.optional(Query.boolean) }))
      .addSuccess(HttpApiSchema.Text({ contentType: NDJSON }))
      .annotateContext(streamsRecords(
        "FileRecord",
        "What happens to the entries of a directory: a stream that has no end. Its head is sent when the directory is " +
          "being watched; what happens from then on is told. Without `Accept: " +
          "text/event-stream` it is `application/x-ndjson`."
      ))
  )
  .add(
    HttpApiEndpoint.get("download")`/api/sandboxes/${sandboxId}/files/content`
      .setUrlParams(ofPath)
      .addSuccess(HttpApiSchema.Uint8Array({ contentType: BYTES }))
      .annotateContext(givesBytes("The bytes of a file."))
  )
  .add(
    HttpApiEndpoint.put("upload")`/api/sandboxes/${sandboxId}/files/content`
      .setUrlParams(Schema.Struct({ ...ofPath.fields, createParents: Schema.optional(Query.boolean) }))
      .addSuccess(Written)
      .annotateContext(takesBytes(
        "Writes the bytes of the body to a file, atomically: when the body breaks off, the file is as it was."
      ))
  )
  .annotate(OpenApi.Description, "The files of a sandbox.")
  .middleware(Authorization)
{}
