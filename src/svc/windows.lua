-- The windows that a question names: three words each, see meter.lua. In one argument with blanks
-- between, as programs of version 2 say them (there is nothing to put together), or one argument a word.
--
-- A fleet has few classes, so few lists of windows: what follows from one is worked out once. A plan
-- has its `windows`, those of each kind by its name, and of those with a TAT the `buckets` and the
-- `fields` to read them by (`fields_session`: with "awaited"). The TATs in it are of the call under
-- way alone.

local PLANS_MOST = 1000 -- lists of windows that are kept

local IS_BUCKET = { sessions = true, messages = true, recipients = true, bytes = true }
local IS_KIND =
    { sessions = true, messages = true, recipients = true, bytes = true, spread = true, concurrent = true }

local plans, plan_count = {}, 0

local function field_of(kind, period)
    return kind .. ':' .. format('%.14g', period / 1000000)
end

local function add_bucket(plan, w)
    w.field = field_of(w.kind, w.period)
    plan.buckets[#plan.buckets + 1] = w
    plan.fields[#plan.fields + 1] = w.field
end

local function make_plan(words)
    local plan = {
        windows = {}, sessions = {}, messages = {}, recipients = {}, bytes = {}, spread = {}, concurrent = {},
        buckets = {}, fields = { 'at', 'until' }, spread_ms = 0,
    }
    for i = 1, #words, 3 do
        local w = { kind = words[i], count = tonumber(words[i + 1]), period = tonumber(words[i + 2]) }
        if not w.count or not w.period or w.count < 1 then
            error('gate25: windows are KIND COUNT PERIOD_US')
        end
        w.at = #plan.windows + 1
        plan.windows[w.at] = w
        if IS_BUCKET[w.kind] then
            add_bucket(plan, w)
        elseif w.kind == 'spread' then
            w.period_ms = floor(w.period / 1000)
            plan.spread_ms = math.max(plan.spread_ms, w.period_ms)
        end
        if IS_KIND[w.kind] then
            table.insert(plan[w.kind], w)
        end
    end
    plan.fields_session = { unpack(plan.fields) }
    table.insert(plan.fields_session, 'awaited')
    return plan
end

local function plan_of(args, first)
    local name = args[first] or ''
    if args[first + 1] then
        name = table.concat(args, ' ', first)
    end
    local plan = plans[name]
    if not plan then
        local words = {}
        for word in string.gmatch(name, '%S+') do
            words[#words + 1] = word
        end
        plan = make_plan(words)
        if plan_count == PLANS_MOST then
            plans, plan_count = {}, 0
        end
        plans[name], plan_count = plan, plan_count + 1
    end
    return plan
end
