
-- Who holds an address now (src/svc/leases.c) -------------------------------------------------------
--
-- What a RADIUS or DHCP server calls with each Start, Interim and Stop. All keys are in one slot:
--
--   KEYS  1  g25:{leases}           hash    UNIT -> "UNTIL BEGAN SESSION ACCOUNT"
--         2  g25:{leases}:changes   stream  every change, which the mirrors follow: unit, account,
--                                           until, began, and in `after` the entry before it
--         3  g25:{leases}:accounts  hash    ACCOUNT -> its units, with blanks between
--   ARGV  1  account    what include/core/account.h allows; its letters become small ones
--         2  session    what the server calls it, any text: unique among all its sessions of one
--                       account (the counters of access servers begin anew when they restart)
--         3  life       seconds that the lease lasts without another word of it
--         4  age        seconds since the session began; "-": not known. More than ten years are
--                       ten years: it began before whatever else is known
--         5  units: IPv4 addresses and IPv6 prefixes, several in one word with commas between. What
--            is none is passed over: it must not keep the others from changing hands
--
--   gate25_lease_start, gate25_lease_renew, gate25_lease_stop
--                 how many units have changed hands, were renewed or given up; -1: it is no account,
--                 and nobody holds those units now
--
-- UNTIL is in Unix seconds, BEGAN in Unix milliseconds. An empty ACCOUNT says that the session has
-- ended: it is kept as long as the lease was, so that what comes late does not bring it to life again.
-- SESSION is a digest of the session's name and one of the account's, for a name alone comes again.
-- Of two sessions that claim one unit the one that began later holds it; a Stop ends its own session
-- alone, and where it does not name the account ("-") whichever has that name. So it does not matter in which order, how late or how often the words of one unit come.

do

local LIFE_MOST = 31 * 86400
local AGE_MOST = 10 * 366 * 86400
local UNITS_MOST = 32 -- of one call
local HELD_MOST = 1024 -- units of one account that its list names
local SESSION_DIGITS, ACCOUNT_DIGITS = 16, 8
local SWEEP = 4 -- entries that each call looks at, to forget those that have ended
local CHANGES_KEPT = 100000
local START_SLACK_MS = 2000 -- ages are in whole seconds, and so are the times that they come from

-- Text ---------------------------------------------------------------------------------------------

-- As account_parse() of src/core/account.c, which the tests compare it with.
local function read_account(text)
    local address = text:match('^(.-)/%d*$') or text
    local looks_like_address = address:find('^[%d.]*%.[%d.]*$')
            and not text:find('^%d%d%d%d%.%d%d%d%d%.%d%d%d%d$')
        or address:find('^[%x:.]*:[%x:.]*$') and not text:find('^%x%x:%x%x:%x%x:%x%x:%x%x:%x%x$')
    if #text > 63 or looks_like_address or not text:find('^[%w][%w@._+:/=#-]*$') then
        return nil
    end
    return text:lower()
end

local function read_ipv4(text, length)
    local a, b, c, d = text:match('^(%d%d?%d?)%.(%d%d?%d?)%.(%d%d?%d?)%.(%d%d?%d?)$')
    for _, octet in ipairs({ a or 256, b, c, d }) do
        if tonumber(octet) > 255 or octet ~= tostring(tonumber(octet)) then
            return nil
        end
    end
    if length and length ~= 32 then
        return nil
    end
    return text
end

-- Appends the groups of one half of an address. False: they are none.
local function add_groups(half, groups)
    if half == '' then
        return true
    end
    for group in (half .. ':'):gmatch('([^:]*):') do
        if not group:find('^%x%x?%x?%x?$') then
            return false
        end
        groups[#groups + 1] = tonumber(group, 16)
    end
    return true
end

local function read_groups(text)
    local head, tail = text:match('^(.-)::(.*)$')
    local groups, behind = {}, {}
    if not add_groups(head or text, groups) or not add_groups(tail or '', behind) then
        return nil
    end
    if head and #groups + #behind > 7 or not head and #groups ~= 8 then
        return nil
    end
    for _ = 1, head and 8 - #groups - #behind or 0 do
        groups[#groups + 1] = 0
    end
    for _, group in ipairs(behind) do
        groups[#groups + 1] = group
    end
    return groups
end

-- RFC 5952: the longest row of zeros, of two at least, becomes "::"; of equals the first.
local function write_groups(groups)
    local first, most, length = 0, 1, 0
    for i = 1, 8 do
        length = groups[i] == 0 and length + 1 or 0
        if length > most then
            first, most = i - length + 1, length
        end
    end
    local text, i = '', 1
    while i <= 8 do
        if i == first then
            text, i = text .. '::', i + most
        else
            text = text .. ((text == '' or text:sub(-1) == ':') and '' or ':') .. string.format('%x', groups[i])
            i = i + 1
        end
    end
    return text
end

local function read_ipv6(text, length)
    local groups = read_groups(text)
    length = length or 128
    -- Of ::/32 (loopback, embedded IPv4) there are no subscribers.
    if not groups or length > 128 or length < 16 or groups[1] == 0 and groups[2] == 0 then
        return nil
    end
    for i = 1, 8 do
        local bits = math.max(math.min(length - 16 * (i - 1), 16), 0)
        groups[i] = groups[i] - groups[i] % 2 ^ (16 - bits)
    end
    return write_groups(groups) .. (length == 128 and '' or '/' .. length)
end

-- As prefix_format() writes it: the same unit has one name, however a server spells it.
local function read_unit(text)
    local address, length = text:match('^([^/]*)/(%d%d?%d?)$')
    address = address or text
    length = tonumber(length)
    if address:find(':', 1, true) then
        return read_ipv6(address, length)
    end
    return read_ipv4(address, length)
end

local function read_units(args)
    local units, seen = {}, {}
    for i = 5, #args do
        for text in args[i]:gmatch('[^%s,]+') do
            local unit = read_unit(text)
            if unit and not seen[unit] and #units < UNITS_MOST then
                seen[unit] = true
                units[#units + 1] = unit
            end
        end
    end
    return units
end

local function read_event(args)
    local now = redis.call('TIME')
    local event = { life = tonumber(args[3]), age = tonumber(args[4]) }
    event.now_ms = tonumber(now[1]) * 1000 + math.floor(tonumber(now[2]) / 1000)
    if not args[4] or not event.life or event.life < 1 or event.life > LIFE_MOST then
        error('gate25: a lease is ACCOUNT SESSION LIFE AGE UNIT..., LIFE of 1 to ' .. LIFE_MOST .. ' seconds')
    end
    event.account = read_account(args[1])
    event.session = redis.sha1hex(args[2]):sub(1, SESSION_DIGITS)
        .. redis.sha1hex(args[1]:lower()):sub(1, ACCOUNT_DIGITS)
    event.nameless = args[1] == '-'
    event.until_s = math.ceil(event.now_ms / 1000 + event.life)
    if event.age and event.age >= 0 then
        event.began_ms = math.floor(event.now_ms - math.min(event.age, AGE_MOST) * 1000)
    end
    event.units = read_units(args)
    return event
end

-- Reading and writing ------------------------------------------------------------------------------

local function parse(raw)
    if not raw then
        return nil
    end
    local until_s, began_ms, session, account = raw:match('^(%d+) (%d+) (%x+) (%S*)$')
    if not until_s then
        return nil
    end
    return { until_s = tonumber(until_s), began_ms = tonumber(began_ms), session = session, account = account }
end

-- Takes a unit from its account's list, or puts it there.
local function list_unit(key, account, unit, there)
    if account == '' then
        return
    end
    local units, kept = redis.call('HGET', key, account) or '', {}
    for other in units:gmatch('%S+') do
        if other ~= unit then
            kept[#kept + 1] = other
        end
    end
    if there and #kept < HELD_MOST then
        kept[#kept + 1] = unit
    end
    if #kept == 0 then
        redis.call('HDEL', key, account)
    elseif table.concat(kept, ' ') ~= units then
        redis.call('HSET', key, account, table.concat(kept, ' '))
    end
end

local function write(keys, unit, held, lease)
    local until_s, began_ms = string.format('%.0f', lease.until_s), string.format('%.0f', lease.began_ms)
    redis.call('HSET', keys[1], unit, table.concat({ until_s, began_ms, lease.session, lease.account }, ' '))
    if not held or held.account ~= lease.account then
        list_unit(keys[3], held and held.account or '', unit, false)
        list_unit(keys[3], lease.account, unit, true)
    end
    local last = redis.call('XREVRANGE', keys[2], '+', '-', 'COUNT', 1)
    redis.call('XADD', keys[2], 'MAXLEN', '~', CHANGES_KEPT, '*', 'after', last[1] and last[1][1] or '0-0',
        'unit', unit, 'account', lease.account, 'until', until_s, 'began', began_ms)
end

-- A few at random: so many as end without a Stop are forgotten in the end, without a list of ends.
local function sweep(keys, now_ms)
    local some = redis.call('HRANDFIELD', keys[1], SWEEP, 'WITHVALUES')
    for i = 1, #some, 2 do
        local held = parse(some[i + 1])
        if not held or held.until_s * 1000 <= now_ms then
            redis.call('HDEL', keys[1], some[i])
            if held then
                list_unit(keys[3], held.account, some[i], false)
            end
        end
    end
end

-- Deciding -----------------------------------------------------------------------------------------

-- True: what is said of that session comes too late.
local function is_late(event, held, renews)
    if not held or held.until_s * 1000 <= event.now_ms then
        return false
    end
    if held.session == event.session then
        return held.account == ''
    end
    if not event.began_ms then
        return renews
    end
    if renews then
        return event.began_ms <= held.began_ms
    end
    return event.began_ms < held.began_ms - START_SLACK_MS
end

local function take(keys, args, renews)
    local event, count = read_event(args), 0
    for _, unit in ipairs(event.units) do
        local raw = redis.call('HGET', keys[1], unit)
        local held = parse(raw)
        if not is_late(event, held, renews) then
            local same = held and held.session == event.session
            write(keys, unit, held, {
                until_s = event.until_s,
                began_ms = same and held.began_ms or event.began_ms or event.now_ms,
                session = event.session,
                account = event.account or '',
            })
            count = count + 1
        end
    end
    sweep(keys, event.now_ms)
    return event.account and count or -1
end

local function start(keys, args)
    return take(keys, args, false)
end

local function renew(keys, args)
    return take(keys, args, true)
end

-- Whether what is held is of the session that a Stop ends.
local function is_ended_by(event, held)
    local digits = event.nameless and SESSION_DIGITS or SESSION_DIGITS + ACCOUNT_DIGITS
    return held and held.session:sub(1, digits) == event.session:sub(1, digits)
end

-- Not every server says again in a Stop what the session had been given.
local function add_held(keys, event)
    local units = event.account and redis.call('HGET', keys[3], event.account) or ''
    for unit in units:gmatch('%S+') do
        local held = parse(redis.call('HGET', keys[1], unit))
        if is_ended_by(event, held) then
            event.units[#event.units + 1] = unit
        end
    end
end

-- What nobody is known to hold is marked too: its Start may come later than its Stop.
local function stop(keys, args)
    local event, count = read_event(args), 0
    add_held(keys, event)
    for _, unit in ipairs(event.units) do
        local held = parse(redis.call('HGET', keys[1], unit))
        local live = held and held.until_s * 1000 > event.now_ms
        local same = is_ended_by(event, held)
        if not live or same and held.account ~= '' then
            write(keys, unit, held, {
                until_s = math.max(event.until_s, held and held.until_s or 0),
                began_ms = same and held.began_ms or event.began_ms or event.now_ms,
                session = same and held.session or event.session,
                account = '',
            })
            count = count + (live and held.account ~= '' and 1 or 0)
        end
    end
    sweep(keys, event.now_ms)
    return count
end

redis.register_function('gate25_lease_start', start)
redis.register_function('gate25_lease_renew', renew)
redis.register_function('gate25_lease_stop', stop)

end
