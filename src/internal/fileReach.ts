/**
 * How far the file operations of a caller reach.
 */
import * as Context from "effect/Context"

/**
 * `workspace`, unless somebody says otherwise: paths outside of it, and links that lead out, are refused. `sandbox` is every
 * file that code in the sandbox can see, with the rights that it has, but for `/proc`: for a protocol whose programs expect
 * that. A layer that cannot do it refuses such paths.
 */
export class FileReach extends Context.Reference<FileReach>()("sandbox-sdk/FileReach", {
  defaultValue: (): "workspace" | "sandbox" => "workspace"
}) {}
