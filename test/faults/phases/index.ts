/**
 * What goes wrong, in the order in which it does.
 */
import type { Phase } from "../Setting.js"
import { clock } from "./clock.js"
import { disks } from "./disks.js"
import { kills } from "./kills.js"
import { network } from "./network.js"
import { offsets } from "./offsets.js"
import { servers } from "./servers.js"

export const phases: ReadonlyArray<Phase> = [offsets, network, ...kills, servers, ...disks, clock]
