import { CHECKSUM_ALGORITHMS } from '../checksum.ts'
import { TUS_VERSION } from '../gate.ts'
import type { Call, TusOptions } from '../options.ts'
import { bare, type Reply } from '../reply.ts'

/** What works here: nothing is advertised that does not (tus 1.0, OPTIONS). */
export function extensionsOf(options: Pick<TusOptions, 'expires'>): readonly string[] {
  const always = [
    'creation',
    'creation-with-upload',
    'creation-defer-length',
    'termination',
    'concatenation',
    'checksum',
    'checksum-trailer',
  ]
  return options.expires ? [...always, 'expiration'] : always
}

/** OPTIONS: versions, extensions and the longest upload. `Tus-Resumable` of the request does not matter. */
export async function describe(call: Call): Promise<Reply> {
  return bare(204, {
    'Tus-Version': TUS_VERSION,
    'Tus-Extension': extensionsOf(call.options).join(','),
    'Tus-Checksum-Algorithm': CHECKSUM_ALGORITHMS.join(','),
    'Tus-Max-Size': String(call.options.engine.maxBytes),
  })
}
