/**
 * All attempts, by family.
 */
import type { Attempt, Family } from "../Attempt.js"
import { archives } from "./archives.js"
import { descriptors } from "./descriptors.js"
import { disk } from "./disk.js"
import { egress } from "./egress.js"
import { environment } from "./environment.js"
import { exhaustion } from "./exhaustion.js"
import { fileApi } from "./fileApi.js"
import { files } from "./files.js"
import { injection } from "./injection.js"
import { kernel } from "./kernel.js"
import { network } from "./network.js"
import { pausing } from "./pausing.js"
import { ports } from "./ports.js"
import { privileges } from "./privileges.js"
import { processes } from "./processes.js"
import { protocol } from "./protocol.js"
import { secondPlace } from "./secondPlace.js"
import { siblings } from "./siblings.js"
import { terminals } from "./terminals.js"

export const families: ReadonlyArray<Family> = [
  files,
  siblings,
  processes,
  privileges,
  kernel,
  network,
  egress,
  ports,
  descriptors,
  terminals,
  pausing,
  fileApi,
  secondPlace,
  archives,
  environment,
  injection,
  exhaustion,
  disk,
  protocol
]

export const attempts: ReadonlyArray<Attempt> = families.flatMap((family) => family.attempts)
