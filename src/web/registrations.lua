
-- What the sign-up site keeps of registrations: a part of the library gate25site, behind site.lua.
-- Every call is about keys of one slot. What is decided is decided in src/core/registration.c; here
-- it is only seen to that nobody writes over what he has not seen.
--
--   gate25_signup_put    KEYS 1  g25:signup:{...}, g25:asked:{ID}
--                        ARGV 1  its life in seconds; then FIELD VALUE ...
--                        1: it is there now; 0: it was used before, and stays so
--   gate25_signup_look (no-writes)
--                        KEYS 1  g25:signup:{...}
--                        ARGV 1  the subscriber who uses it   2  what for
--                        its fields; nothing when there is none, or it was made for another subscriber
--                        or another purpose. Of one that was used: `used`
--   gate25_signup_use    the same; it is used then, and only says so for the rest of its life. 1: by
--                        this call
--   gate25_signup_mail   KEYS 1  g25:contact:{HASH}
--                        ARGV 1  hash of the mail's token, "" for one without   2  life of its link in
--                        seconds   3  PERIOD in seconds
--                        {0, "", 0}: the mail may go, and is the last one now; else {seconds until one
--                        may go, hash of the last one's token, seconds that its link is good for}
--   gate25_signup_unmail KEYS 1  g25:contact:{HASH}
--                        ARGV 1  hash of the token of a mail that did not go; it counts no more
--   gate25_signup_tell   KEYS 1  g25:asked:{ID}
--                        ARGV 1  hash of a mail's token   2  what has become of that mail: noted where
--                        it is the one that the line waits for
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
        if redis.call('HGET', keys[1], 'used') then
            return 0
        end
        redis.call('DEL', keys[1])
        redis.call('HSET', keys[1], unpack(words(args, 2, #args)))
        redis.call('EXPIRE', keys[1], args[1])
        return 1
    end

    local function look(keys, args)
        local owner = redis.call('HMGET', keys[1], 'id', 'purpose')
        if owner[1] ~= args[1] or owner[2] ~= args[2] then
            return {}
        end
        return redis.call('HGETALL', keys[1])
    end

    local function use(keys, args)
        if #look(keys, args) == 0 then
            return 0
        end
        local left = redis.call('TTL', keys[1])
        local used = redis.call('HGET', keys[1], 'used')
        redis.call('DEL', keys[1])
        redis.call('HSET', keys[1], 'id', args[1], 'purpose', args[2], 'used', '1')
        redis.call('EXPIRE', keys[1], math.max(left, 1))
        return used and 0 or 1
    end

    local function mail(keys, args)
        local now = tonumber(redis.call('TIME')[1])
        local last = redis.call('HMGET', keys[1], 'token', 'ends')
        if last[1] then
            return { math.max(redis.call('TTL', keys[1]), 1), last[1],
                math.max(tonumber(last[2]) - now, 0) }
        end
        redis.call('HSET', keys[1], 'token', args[1], 'ends', now + tonumber(args[2]))
        redis.call('EXPIRE', keys[1], args[3])
        return { 0, '', 0 }
    end

    local function unmail(keys, args)
        if redis.call('HGET', keys[1], 'token') == args[1] then
            redis.call('DEL', keys[1])
        end
        return 1
    end

    local function tell(keys, args)
        if redis.call('HGET', keys[1], 'token') ~= args[1] then
            return 0
        end
        redis.call('HSET', keys[1], 'mail', args[2])
        return 1
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
    redis.register_function{
        function_name = 'gate25_signup_look', callback = look, flags = { 'no-writes' } }
    redis.register_function('gate25_signup_use', use)
    redis.register_function('gate25_signup_mail', mail)
    redis.register_function('gate25_signup_unmail', unmail)
    redis.register_function('gate25_signup_tell', tell)
    redis.register_function('gate25_signup_allow', allow)
    redis.register_function{
        function_name = 'gate25_registration_read', callback = read, flags = { 'no-writes' } }
    redis.register_function('gate25_registration_write', write)
end
