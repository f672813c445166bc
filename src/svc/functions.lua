#!lua name=gate25

-- What all nodes share of meters, the tally and leases: a library of Redis Functions, each called for
-- one subscriber, one hour or one lease. The parts of it are files by subject; functions.S says in which
-- order they come. This one comes first, and has what all of them need.
--
-- The clock is Redis's. All numbers are doubles, exact up to 2^53: 285 years in microseconds.
--
-- Redis does nothing else meanwhile, and what a question costs is for the most part what is done here:
-- few calls of Redis, no table that is thrown away, nothing worked out twice. Of Lua a call of a C
-- function is dear: so `x - x % 1` stands for math.floor(x), and texts become numbers by arithmetic.

-- Which library this is. A program of an older release leaves a newer one in its place
-- (src/svc/redis_greeting.c), so each release goes on to serve what the ones before it ask; with any
-- change of what a function takes, answers or leaves in Redis this number grows.
local LIBRARY_VERSION = 2
redis.register_function{
    function_name = 'gate25_version',
    callback = function() return LIBRARY_VERSION end,
    flags = { 'no-writes' } }

-- While this is loaded Lua's library is not there yet: see ready().
local ceil, format, call, WHOLE

local function ready()
    if call then
        return
    end
    ceil, format, call = math.ceil, string.format, redis.call
    -- Whole numbers as text: %d is cheaper than %.0f, and as good where it takes 64 bits.
    WHOLE = format('%d', 2 ^ 53) == '9007199254740992' and '%d' or '%.0f'
end

local function floor(x)
    return x - x % 1
end
