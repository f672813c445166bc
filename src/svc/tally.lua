-- Who did how much in an hour (src/svc/tally.c) ---------------------------------------------------
--
--   gate25_tally  KEYS  g25:tally:{HOUR}:KIND, sorted sets of ids, one for each kind
--                 ARGV  1 seconds that they live, 2 most, then an id and a count for each key
--                 A set that has grown to twice `most` is cut down to the `most` largest, so that
--                 newcomers always have room to become large.

local function tally(keys, args)
    ready()
    local most = tonumber(args[2])
    for k, key in ipairs(keys) do
        local touched = false
        for i = 3, #args, 1 + #keys do
            if args[i + k] ~= '0' then
                redis.call('ZINCRBY', key, args[i + k], args[i])
                touched = true
            end
        end
        if touched then
            if redis.call('ZCARD', key) > 2 * most then
                redis.call('ZREMRANGEBYRANK', key, 0, -most - 1)
            end
            redis.call('EXPIRE', key, args[1])
        end
    end
    return redis.status_reply('OK')
end

redis.register_function('gate25_tally', tally)
