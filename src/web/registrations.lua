
-- What the sign-up site keeps of registrations: a part of the library gate25site, behind site.lua.
-- Every call is about keys of one slot. What is decided is decided in src/core/registration.c; here
-- it is only seen to that nobody writes over what he has not seen.
--
--   gate25_signup_put    KEYS 1  g25:signup:{TOKEN-HASH}
--                        ARGV 1  its life in seconds; then FIELD VALUE ...
--                        1: it is there now
--   gate25_signup_replace
--                        the same, but only where there is one, with its life as it is; else 0
--   gate25_signup_take   KEYS 1  g25:signup:{TOKEN-HASH}
--                        ARGV 1  the subscriber who uses it   2  what for
--                        its fields, and it is gone; nothing when there is none, or it was made for
--                        another subscriber or another purpose (it stays then)
--   gate25_signup_allow  KEYS 1  a counter
--                        ARGV 1  COUNT   2  PERIOD in seconds
--                        0: this one is within COUNT a PERIOD, and is counted; else the seconds until
--                        the next one is
--   gate25_registration_read (no-writes)
--                        KEYS 1  g25:registration:{ID}   2  g25:standing:{ID}
--                        {class of the standing in force or "", {FIELD, VALUE, ...}}
--   gate25_registration_write
--                        KEYS the same, and
--                             3  g25:meter:{ID}: a line that had no class and is given one begins
--                                with full buckets
--                        ARGV 1  the version that was read (0: there was none)
--                             2  the class that was read
--                             3  life of the registration in seconds, 0: no end
--                             4  keep | set | remove: the standing
--                             5  number of words that follow for it: FIELD VALUE ...
--                             then all FIELD VALUE of the registration but its version
--                        the new version; 0: it or the standing has changed since, nothing was written

do
    local function effective_class(key)
        local standing = redis.call('HMGET', key, 'class', 'until')
        local ends = tonumber(standing[2] or '0') or 0
        if not standing[1] or (ends > 0 and ends <= tonumber(redis.call('TIME')[1])) then
            return ''
        end
        return standing[1]
    end

    local function words(args, first, last)
        local list = {}
        for i = first, last do
            list[#list + 1] = args[i]
        end
        if #list == 0 or #list % 2 == 1 then
            error('gate25: fields are FIELD VALUE ...')
        end
        return list
    end

    local function put(keys, args)
        redis.call('DEL', keys[1])
        redis.call('HSET', keys[1], unpack(words(args, 2, #args)))
        redis.call('EXPIRE', keys[1], args[1])
        return 1
    end

    local function replace(keys, args)
        local left = redis.call('TTL', keys[1])
        if left <= 0 then
            return 0
        end
        args[1] = left
        return put(keys, args)
    end

    local function take(keys, args)
        local owner = redis.call('HMGET', keys[1], 'id', 'purpose')
        if owner[1] ~= args[1] or owner[2] ~= args[2] then
            return {}
        end
        local fields = redis.call('HGETALL', keys[1])
        redis.call('DEL', keys[1])
        return fields
    end

    local function allow(keys, args)
        local n = redis.call('INCR', keys[1])
        if n == 1 or redis.call('TTL', keys[1]) < 0 then
            redis.call('EXPIRE', keys[1], args[2])
        end
        if n <= tonumber(args[1]) then
            return 0
        end
        return math.max(redis.call('TTL', keys[1]), 1)
    end

    local function read(keys)
        return { effective_class(keys[2]), redis.call('HGETALL', keys[1]) }
    end

    local function write(keys, args)
        local version = tonumber(redis.call('HGET', keys[1], 'version') or '0')
        local about_standing = tonumber(args[5])
        if version ~= tonumber(args[1]) or effective_class(keys[2]) ~= args[2] then
            return 0
        end
        if args[4] == 'set' and args[2] == '' then
            redis.call('DEL', keys[3])
        end
        if args[4] ~= 'keep' then
            redis.call('DEL', keys[2])
        end
        if args[4] == 'set' then
            redis.call('HSET', keys[2], unpack(words(args, 6, 5 + about_standing)))
        end
        redis.call('DEL', keys[1])
        redis.call('HSET', keys[1], 'version', version + 1,
            unpack(words(args, 6 + about_standing, #args)))
        if tonumber(args[3]) > 0 then
            redis.call('EXPIRE', keys[1], args[3])
        end
        return version + 1
    end

    redis.register_function('gate25_signup_put', put)
    redis.register_function('gate25_signup_replace', replace)
    redis.register_function('gate25_signup_take', take)
    redis.register_function('gate25_signup_allow', allow)
    redis.register_function{
        function_name = 'gate25_registration_read', callback = read, flags = { 'no-writes' } }
    redis.register_function('gate25_registration_write', write)
end
