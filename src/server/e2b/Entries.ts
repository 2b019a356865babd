/**
 * Files as E2B describes them.
 */
import type { FileInfo } from "../../File.js"
import { toCaller } from "./Paths.js"

const types = { file: "FILE_TYPE_FILE", directory: "FILE_TYPE_DIRECTORY", symlink: "FILE_TYPE_SYMLINK" } as const

const letters: Readonly<Record<FileInfo["type"], string>> = {
  file: "-",
  directory: "d",
  symlink: "L",
  fifo: "p",
  socket: "S",
  device: "D",
  unknown: "?"
}

const permissions = ({ mode, type }: FileInfo): string =>
  letters[type] + [...(mode & 0o777).toString(2).padStart(9, "0")].map((bit, at) => bit === "1" ? "rwxrwxrwx"[at] : "-")
    .join("")

/**
 * An entry; `asked` is the path by which the caller asked.
 */
export const entryOf = (info: FileInfo, asked: string) => ({
  name: info.name,
  type: info.type === "file" || info.type === "directory" || info.type === "symlink"
    ? types[info.type]
    : "FILE_TYPE_UNSPECIFIED",
  path: toCaller(info.path, asked),
  // Whole numbers of 64 bits are strings in the JSON of protobuf.
  size: String(info.size),
  mode: info.mode & 0o777,
  permissions: permissions(info),
  owner: "user",
  group: "user",
  modifiedTime: new Date(info.modifiedAt).toISOString(),
  ...info.target === undefined ? {} : { symlinkTarget: info.target }
})
