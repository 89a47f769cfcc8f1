/**
 * One script an operation, each atomic. Two keys of one slot: the session (KEYS[1]) and its parts (KEYS[2]).
 *
 * Fields of the session: r where it was written (layout:replication id), t token ('' when released), h holder, x end of
 * the lease (ms), c released cleanly, st 'ok' | 'reb' (taken for a rebuild and not saved since), q number of the save
 * it stems from, n parts recorded; and what the holder saved: g generation, m multipart id, s start, o offset, l tails,
 * d tailed. All values are strings that Lua only hands on: its numbers are floats.
 *
 * Data path, section 3: every script compares the token, and a session that another primary wrote counts as missing.
 */
import { type Script, script } from './script.ts'

// A replica may be behind, so even a look is refused there; the client reconnects on READONLY.
const PRELUDE = `
local info = redis.call('INFO', 'replication')
if not string.find(info, 'role:master', 1, true) then
  return redis.error_reply('READONLY This Redis is a replica')
end
local here = string.match(info, 'master_replid:(%x+)')
if not here then return redis.error_reply('ERR INFO replication names no master_replid') end
here = '1:' .. here
local function now()
  local t = redis.call('TIME')
  return tonumber(t[1]) * 1000 + math.floor(tonumber(t[2]) / 1000)
end
local function whole(n) return string.format('%.0f', n) end
local function touch(ttl)
  redis.call('PEXPIRE', KEYS[1], ttl)
  redis.call('PEXPIRE', KEYS[2], ttl)
end
`

/** For the holder's scripts: ARGV[1] is its token. */
const HOLDER = `${PRELUDE}
local at = redis.call('HMGET', KEYS[1], 'r', 't', 'q', 'm', 'n')
if at[1] ~= here then return 'gone' end
if at[2] ~= ARGV[1] then return 'other' end
`

/**
 * token, holder, lease ms, ttl ms -> ['held', holder, ms left] | ['rebuild'] | ['clean' | 'unclean', g, m, s, o, l, d].
 * A token that is in place already is a take whose answer was lost: what its first answer was cannot be known, so it is
 * never 'clean' again.
 */
export const TAKE: Script = script(`${PRELUDE}
local token, ttl = ARGV[1], ARGV[4]
local at = redis.call('HMGET', KEYS[1], 'r', 't', 'h', 'x', 'c', 'st', 'n', 'g', 'm', 's', 'o', 'l', 'd')
local t = now()
local lease = whole(t + tonumber(ARGV[3]))
if at[1] == here and at[2] ~= '' and at[2] ~= token and tonumber(at[4]) > t then
  return {'held', at[3], whole(tonumber(at[4]) - t)}
end
if at[1] ~= here or at[6] ~= 'ok' or redis.call('HLEN', KEYS[2]) ~= tonumber(at[7]) then
  redis.call('DEL', KEYS[1], KEYS[2])
  redis.call('HSET', KEYS[1], 'r', here, 't', token, 'h', ARGV[2], 'x', lease, 'c', '0', 'st', 'reb', 'q', '0', 'n', '0')
  touch(ttl)
  return {'rebuild'}
end
redis.call('HSET', KEYS[1], 't', token, 'h', ARGV[2], 'x', lease, 'c', '0')
if at[2] ~= token then redis.call('HSET', KEYS[1], 'q', '0') end
touch(ttl)
local kind = (at[2] == '' and at[5] == '1') and 'clean' or 'unclean'
return {kind, at[8], at[9], at[10], at[11], at[12], at[13]}
`)

/** token, lease ms. It leaves the keys' TTL alone: a take or a save is never that long ago. */
export const RENEW: Script = script(`${HOLDER}
redis.call('HSET', KEYS[1], 'x', whole(now() + tonumber(ARGV[2])))
return 'kept'
`)

/**
 * token, number of this save, ttl ms, release '1' | '0', g, m, s, o, l, d, then part number and value in turn.
 * A save that its holder gave up on may arrive behind a later one, on another connection: it must not take the session
 * back, nor let go. Its parts count as long as no later save said otherwise.
 */
export const SAVE: Script = script(`${HOLDER}
local late = tonumber(at[3]) > tonumber(ARGV[2])
if at[4] ~= ARGV[6] then
  if late then return 'kept' end
  redis.call('DEL', KEYS[2])
end
if #ARGV > 10 or at[4] ~= ARGV[6] then
  for i = 11, #ARGV, 2 do
    redis.call(late and 'HSETNX' or 'HSET', KEYS[2], ARGV[i], ARGV[i + 1])
  end
  redis.call('HSET', KEYS[1], 'n', whole(redis.call('HLEN', KEYS[2])))
end
if not late then
  redis.call('HSET', KEYS[1], 'st', 'ok', 'c', '0', 'q', ARGV[2], 'g', ARGV[5], 'm', ARGV[6], 's', ARGV[7],
    'o', ARGV[8], 'l', ARGV[9], 'd', ARGV[10])
end
touch(ARGV[3])
if late or ARGV[4] ~= '1' then return 'kept' end
redis.call('HSET', KEYS[1], 't', '', 'h', '', 'x', '0', 'c', '1')
return 'released'
`)

/** token -> ['kept', [number, value, ...]]. Fewer parts than were recorded: the session is worth nothing, so it goes. */
export const PARTS: Script = script(`${HOLDER}
if redis.call('HLEN', KEYS[2]) ~= tonumber(at[5]) then
  redis.call('DEL', KEYS[1], KEYS[2])
  return 'gone'
end
return {'kept', redis.call('HGETALL', KEYS[2])}
`)

/** token, clean '1' | '0', ttl ms */
export const RELEASE: Script = script(`${HOLDER}
redis.call('HSET', KEYS[1], 't', '', 'h', '', 'x', '0', 'c', ARGV[2])
touch(ARGV[3])
return 'kept'
`)

/** token */
export const DROP: Script = script(`${HOLDER}
redis.call('DEL', KEYS[1], KEYS[2])
return 'kept'
`)

/** -> ['missing'] | ['held', holder] | ['held' , holder, g, ...] | ['free', g, ...] | ['dead'] */
export const PEEK: Script = script(`${PRELUDE}
local at = redis.call('HMGET', KEYS[1], 'r', 't', 'h', 'x', 'c', 'st', 'g', 'm', 's', 'o', 'l', 'd')
if at[1] ~= here then return {'missing'} end
if at[2] ~= '' and tonumber(at[4]) > now() then
  if at[6] ~= 'ok' then return {'held', at[3]} end
  return {'held', at[3], at[7], at[8], at[9], at[10], at[11], at[12]}
end
if at[2] == '' and at[5] == '1' and at[6] == 'ok' then
  return {'free', at[7], at[8], at[9], at[10], at[11], at[12]}
end
return {'dead'}
`)
