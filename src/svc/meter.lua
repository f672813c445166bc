-- The meters of gate25, shared by all nodes. Every call is about one subscriber:
--
--   KEYS  1  g25:meter:{ID}   hash    "KIND:SECONDS" -> theoretical arrival time (TAT), Unix us;
--                                     "at" -> when the last of them was written, Unix us; "until" ->
--                                     until when the key lives at least, Unix s
--         2  g25:open:{ID}    zset    session slot -> Unix ms at which it expires
--         3  g25:spread:{ID}  zset    destination -> Unix ms of the last contact
--
-- The third is needed only with windows of spread, the second only with one of concurrent, or to
-- leave a slot.
--
-- gate25_take and gate25_leave take these arguments, gate25_peek takes the windows alone:
--
--   ARGV  1  question: session | envelope | checkpoint | content | leave
--         2  messages: 0 or 1 (envelope, content); those sent since the last question (checkpoint,
--            leave): charged whatever the answer is. A content that is refused leaves the word
--            "awaited" in the meter: until when sessions are refused, if there is no token before
--         3  recipients wanted (envelope)
--         4  bytes sent since the last question: charged whatever the answer is
--         5  the session's slot, which begins or is renewed; empty: none
--         6  the destination's address (session)
--         7  windows, three words each: KIND COUNT PERIOD_US, KIND being sessions, messages,
--            recipients, bytes, spread or concurrent (whose period is not used). No two windows
--            of one kind have the same period. All in one argument, or one argument a word
--
--   gate25_take   {state, recipients, bytes_over, window, retry_us}
--                 state: 1 within, tokens are taken; 2 over, nothing was taken but the bytes; of a
--                 checkpoint: its messages were, and have left a debt
--                 recipients: granted, at most those wanted
--                 bytes_over: 1 while a byte window is in debt
--                 window: position (from 1) of the one that refuses longest, 0: none does
--                 retry_us: until what that window refuses is there
--   gate25_take_ahead  the same, with one argument before the others: how many tokens more to take at
--                 once, of each kind that is asked for. Never more than half of what is left; all or
--                 nothing of all kinds. Three integers follow the answer: sessions, messages and
--                 recipients that were taken so
--   gate25_leave  1 if the slot was there, else 0
--   gate25_settle OK. KEYS meter [spread]; ARGV the longest window of spread in us, then by threes
--                 KIND PERIOD_US US (outstanding time of a bucket elsewhere, which is added to the
--                 one here until that is empty: nobody gets into debt for what he was allowed) and
--                 "contact" DESTINATION AGE_US
--   gate25_peek   two integers a window: tokens left (spread, concurrent: used) and microseconds
--                 until the window is full of tokens again (spread: empty again; concurrent: 0)

local WITHIN, OVER = 1, 2

local function answer(state, recipients, named)
    local us = named.us > 0 and ceil(named.us) or 0
    return { state, recipients, debt.window > 0 and 1 or 0, named.window, us }
end

local function read_question(args)
    if not args[6] then
        error('gate25: a question is KIND MESSAGES RECIPIENTS BYTES SLOT DESTINATION')
    end
    return args[1], args[2] + 0, args[3] + 0, args[4] + 0, args[5], args[6]
end

-- What was sent already, or is only waiting for its token.
local function take_sent(keys, args, plan, now, now_text, until_s)
    local kind, messages, _, _, slot = read_question(args)
    local awaited
    if kind == 'content' then
        awaited = take_content(plan.messages, now, messages)
    else
        charge(plan.messages, now, messages, refusal)
    end
    save(keys[1], plan, now, now_text, until_s, awaited)
    if #plan.concurrent > 0 and slot ~= '' then
        renew_slot(keys[2], slot, now)
    end
    if refusal.window > 0 then
        return answer(OVER, 0, refusal)
    end
    return answer(WITHIN, 0, debt)
end

-- `ahead` nil: a question of gate25_take.
local function decide(keys, args, ahead)
    ready()
    local kind, messages, wanted, bytes, slot, destination = read_question(args)
    local plan, now, now_text = plan_of(args, 7), time_us()
    local session = kind == 'session'
    local until_s, awaited =
        load_buckets(keys[1], plan, now, session and plan.fields_session or plan.fields)
    local last

    refusal.window, refusal.us, debt.window, debt.us = 0, 0, 0, 0
    charge(plan.bytes, now, bytes, debt)
    if kind == 'checkpoint' or kind == 'content' then
        return take_sent(keys, args, plan, now, now_text, until_s)
    end

    if debt.window > 0 then
        refuse(refusal, plan.windows[debt.window], debt.us)
    end
    if messages > 0 then
        check(plan.messages, now, messages)
    end
    local granted = wanted > 0 and grant_recipients(plan.recipients, now, wanted) or 0
    if granted == 0 and wanted > 0 and messages == 0 then
        refuse_recipients(plan.recipients, now, wanted)
    end
    if session then
        last = check_session(keys, slot, destination, plan, now, awaited)
    end

    local over, taken = refusal.window > 0, nil
    if not over then
        if session then
            take_all(plan.sessions, now, 1)
        end
        take_all(plan.messages, now, messages)
        take_all(plan.recipients, now, granted)
        if session and #plan.spread > 0 then
            contact(keys[3], destination, plan, floor(now / 1000), last)
        end
        if ahead and granted == wanted then
            taken = take_more(plan, now, ahead, {
                sessions = session, messages = messages > 0, recipients = wanted > 0 })
        end
    end
    save(keys[1], plan, now, now_text, until_s)
    -- A session that asks for an envelope is open, whatever becomes of the envelope.
    if not (over and session) and #plan.concurrent > 0 and slot ~= '' then
        renew_slot(keys[2], slot, now)
    end
    if over then
        return answer(OVER, 0, refusal)
    end
    if granted < wanted then
        refuse_recipients(plan.recipients, now, wanted - granted)
    end
    return answer(WITHIN, granted, refusal), taken
end

local function take(keys, args)
    return (decide(keys, args))
end

local function take_ahead(keys, args)
    local ahead = tonumber(table.remove(args, 1))
    local result, taken = decide(keys, args, ahead)
    for _, kind in ipairs({ 'sessions', 'messages', 'recipients' }) do
        result[#result + 1] = taken and taken[kind] or 0
    end
    return result
end

local function leave(keys, args)
    ready()
    local _, messages, _, bytes, slot = read_question(args)
    local plan = plan_of(args, 7)
    if #plan.buckets > 0 then
        local now, now_text = time_us()
        local until_s = load_buckets(keys[1], plan, now, plan.fields)
        charge(plan.bytes, now, bytes, debt)
        charge(plan.messages, now, messages, debt)
        save(keys[1], plan, now, now_text, until_s)
    end
    return keys[2] and call('ZREM', keys[2], slot) or 0
end

-- What went through at a node that could not ask.
local function settle(keys, args)
    ready()
    local now, now_text = time_us()
    local spread_us, owed = tonumber(args[1]), { buckets = {}, fields = { 'at', 'until' } }
    if not spread_us or #args % 3 ~= 1 then
        error('gate25: what is owed is SPREAD_US, then KIND PERIOD_US US or contact DESTINATION AGE_US')
    end
    for i = 2, #args, 3 do
        if IS_BUCKET[args[i]] then
            add_bucket(owed, { kind = args[i], period = tonumber(args[i + 1]), owed = tonumber(args[i + 2]) })
        end
    end
    local until_s = load_buckets(keys[1], owed, now, owed.fields)
    for _, w in ipairs(owed.buckets) do
        local tat = math.min(math.max(w.tat, now) + w.owed, now + w.period)
        if tat > w.tat then
            w.tat, w.changed = tat, true
        end
    end
    save(keys[1], owed, now, now_text, until_s)
    local spread_ms = ceil(spread_us / 1000)
    local eighth = ceil(spread_ms / 8)
    for i = 2, #args, 3 do
        if args[i] == 'contact' then
            local at_ms = floor((now - tonumber(args[i + 2])) / 1000)
            call('ZADD', keys[2], 'GT', format(WHOLE, at_ms), args[i + 1])
            keep_alive(keys[2], spread_ms + eighth, eighth)
        end
    end
    return redis.status_reply('OK')
end

local function peek(keys, args)
    ready()
    local plan, now, result = plan_of(args, 1), time_us(), {}
    load_buckets(keys[1], plan, now, plan.fields, true)
    for i = 1, #plan.windows do
        local w = plan.windows[i]
        local n, us = 0, 0
        if IS_BUCKET[w.kind] then
            n, us = available(w, now, w.count), math.max(w.tat - now, 0)
        elseif w.kind == 'spread' then
            local ms = floor(now / 1000)
            local since = ms - w.period_ms
            n = call('ZCOUNT', keys[3], '(' .. format(WHOLE, since), '+inf')
            local newest = tonumber(call('ZRANGE', keys[3], -1, -1, 'WITHSCORES')[2]) or 0
            newest = newest > ms + CLOCK_STEP_MS and ms or newest
            us = math.max(newest - since, 0) * 1000
        elseif w.kind == 'concurrent' then
            n = call('ZCOUNT', keys[2], '(' .. format(WHOLE, floor(now / 1000)), '+inf')
        end
        result[#result + 1] = n
        result[#result + 1] = us
    end
    return result
end

redis.register_function('gate25_take', take)
redis.register_function('gate25_take_ahead', take_ahead)
-- Leaving frees memory: allowed when Redis has none left.
redis.register_function{ function_name = 'gate25_leave', callback = leave, flags = { 'allow-oom' } }
redis.register_function('gate25_settle', settle)
redis.register_function{ function_name = 'gate25_peek', callback = peek, flags = { 'no-writes' } }
