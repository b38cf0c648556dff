import { script } from "../foundation/redis/script.ts";

/** Seconds for which a tag's generation is kept; no entry lives longer. */
export const generationSeconds = 2 * 86_400;

/**
 * The head of an entry: its tags with their generations. A tag without one (new, expired or evicted)
 * gets a fresh random generation, which no older entry can carry.
 */
const head = `
local function head(prefix, fresh, seconds, first, last)
  local parts = {}
  for i = first, last do
    local name = prefix .. ARGV[i]
    local generation = redis.call('GET', name)
    if not generation then
      generation = fresh
      redis.call('SET', name, generation, 'EX', seconds)
    else
      redis.call('EXPIRE', name, seconds)
    end
    parts[#parts + 1] = ARGV[i] .. '=' .. generation
  end
  return table.concat(parts, ' ')
end
`;

/**
 * KEYS entry, lease. ARGV lease token, milliseconds, tag prefix, fresh generation, seconds, tags.
 * Returns {1, text} if the entry was stored meanwhile, {2, head} with the lease, or {3} if another
 * caller has the lease.
 */
export const claim = script(`${head}
local start = head(ARGV[3], ARGV[4], ARGV[5], 6, #ARGV) .. '\\n'
local stored = redis.call('GET', KEYS[1])
if stored and string.sub(stored, 1, #start) == start then
  return {1, string.sub(stored, #start + 1)}
end
if not redis.call('SET', KEYS[2], ARGV[1], 'NX', 'PX', ARGV[2]) then return {3} end
return {2, start}
`);

/**
 * KEYS entry, lease. ARGV lease token, entry, milliseconds. Stores the loaded entry if the lease
 * still exists: deleting the key deletes the lease too.
 */
export const fill = script(`
if redis.call('GET', KEYS[2]) ~= ARGV[1] then return 0 end
if ARGV[2] ~= '' then redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3]) end
redis.call('UNLINK', KEYS[2])
return 1
`);

/**
 * KEYS entry, lease, and so on. ARGV tag prefix, fresh generation, seconds, number of tags, tags,
 * then for each entry its value and milliseconds. Stores entries and ends running loads of them.
 */
export const store = script(`${head}
local tags = tonumber(ARGV[4])
local start = head(ARGV[1], ARGV[2], ARGV[3], 5, 4 + tags)
for i = 1, #KEYS / 2 do
  local at = 5 + tags + (i - 1) * 2
  redis.call('SET', KEYS[2 * i - 1], start .. '\\n' .. ARGV[at], 'PX', ARGV[at + 1])
  redis.call('UNLINK', KEYS[2 * i])
end
return 1
`);

/**
 * KEYS a name in the cache's slot, which leads to the right server of a cluster. ARGV cursor, pattern,
 * count. SCAN.
 */
export const scan = script(`
return redis.call('SCAN', ARGV[1], 'MATCH', ARGV[2], 'COUNT', ARGV[3])
`);

/** KEYS tags. ARGV generation, seconds. Invalidates all entries that carry one of the tags. */
export const invalidate = script(`
for i = 1, #KEYS do redis.call('SET', KEYS[i], ARGV[1], 'EX', ARGV[2]) end
return #KEYS
`);
