/**
 * All rows, in the order of the table.
 */
import type { Row } from "../Row.js"
import { rows as creating } from "./creating.js"
import { rows as density } from "./density.js"
import { rows as files } from "./files.js"
import { rows as floors } from "./floors.js"
import { rows as importing } from "./importing.js"
import { rows as running } from "./running.js"
import { rows as streaming } from "./streaming.js"

export const rows: ReadonlyArray<Row> = [
  ...creating,
  ...running,
  ...streaming,
  ...files,
  ...density,
  ...importing,
  ...floors
]
