/* The Lua library as a C string: char meter_functions[].
 *
 * Its parts are one chunk, as Redis loads it: each uses the locals of those before it (and none of
 * those behind it), so the order is this one, and all together may have 200, which is Lua's most. A
 * part that shares none of its own keeps them in a block. */
    .section .rodata
    .global meter_functions
    .type meter_functions, @object
meter_functions:
    .incbin "functions.lua"
    .incbin "rate.lua"
    .incbin "windows.lua"
    .incbin "meter_keys.lua"
    .incbin "meter_limits.lua"
    .incbin "meter.lua"
    .incbin "tally.lua"
    .incbin "leases.lua"
    .byte 0
    .size meter_functions, . - meter_functions

    .section .note.GNU-stack, "", @progbits
