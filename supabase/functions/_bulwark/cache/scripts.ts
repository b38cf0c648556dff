import { script } from "../foundation/redis/script.ts";

/** How many seconds a tag's generation is kept: longer than any entry lives. */
export const generationSeconds = 2 * 86_400;

/**
 * What an entry begins with: its tags with the generation that each has, made now where it has none
 * (new, expired or evicted: then no older entry can hold it, and none is taken for current).
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
 * Gives {1, text} where somebody stored it just now, {2, head} to whoever may load it, and {3} while
 * somebody else does.
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
 * KEYS entry, lease. ARGV lease token, entry, milliseconds. Stores what was loaded, unless the lease
 * is gone: whoever deleted the key meanwhile took it along.
 */
export const fill = script(`
if redis.call('GET', KEYS[2]) ~= ARGV[1] then return 0 end
if ARGV[2] ~= '' then redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3]) end
redis.call('UNLINK', KEYS[2])
return 1
`);

/**
 * KEYS entry, lease, and so on. ARGV tag prefix, fresh generation, seconds, number of tags, tags,
 * then for each entry its value and milliseconds. Stores entries whose values are known, whoever
 * is loading them.
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

/** KEYS tags. ARGV generation, seconds. No entry that carries one of the tags is current any more. */
export const invalidate = script(`
for i = 1, #KEYS do redis.call('SET', KEYS[i], ARGV[1], 'EX', ARGV[2]) end
return #KEYS
`);
