import { createHash } from 'node:crypto'
import { Cluster } from 'ioredis'
import type { RedisClient } from './client.ts'

/** A Lua script and the name under which Redis caches it. */
export interface Script {
  readonly lua: string
  readonly sha: string
}

/** One call of a script: its keys (all of one slot) and its arguments. */
export interface ScriptCall {
  readonly keys: readonly string[]
  readonly args: readonly string[]
}

export function script(lua: string): Script {
  return { lua, sha: createHash('sha1').update(lua).digest('hex') }
}

/** Runs a script by its name; sends its text when Redis does not know it (any more). */
export async function runScript(client: RedisClient, { lua, sha }: Script, call: ScriptCall): Promise<unknown> {
  const args = [...call.keys, ...call.args]
  try {
    return await sender(client).evalsha(sha, call.keys.length, ...args)
  } catch (error) {
    if (!isUnknownScript(error)) throw error
    return sender(client).eval(lua, call.keys.length, ...args)
  }
}

/** Runs a script several times in one round trip (to each node of a cluster: keys of several slots share no pipeline). */
export async function runScripts(client: RedisClient, it: Script, calls: readonly ScriptCall[]): Promise<unknown[]> {
  if (client instanceof Cluster) return Promise.all(calls.map((call) => runScript(client, it, call)))
  const pipeline = client.pipeline()
  for (const { keys, args } of calls) pipeline.evalsha(it.sha, keys.length, ...keys, ...args)
  const results = (await pipeline.exec()) ?? []
  return Promise.all(
    calls.map((call, n) => {
      const [error, answer] = results[n] ?? [new Error('The pipeline ended without an answer'), null]
      if (error === null) return answer
      if (!isUnknownScript(error)) throw error
      return runScript(client, it, call)
    }),
  )
}

function isUnknownScript(error: unknown): boolean {
  return error instanceof Error && error.message.startsWith('NOSCRIPT')
}

interface Sender {
  evalsha(sha: string, numkeys: number, ...args: string[]): Promise<unknown>
  eval(lua: string, numkeys: number, ...args: string[]): Promise<unknown>
}

/** The two kinds of client overload these calls differently; this is what they have in common. */
function sender(client: RedisClient): Sender {
  return client
}
