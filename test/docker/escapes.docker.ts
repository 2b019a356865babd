import { Effect } from "effect"
import { Docker, doctor, layerLocal } from "../../src/local.js"
import { softLimits } from "../escapes/soft.js"
import { escapes } from "../escapes/suite.js"
import { IMAGES } from "./images.js"

const docker = { image: IMAGES.full }

escapes("out of a container", layerLocal({ isolation: "docker", docker }), {
  // They are paused by signals.
  soft: Effect.map(Effect.provide(doctor, Docker.layer(docker)), (found) => [...softLimits(found), "pausing"])
})
