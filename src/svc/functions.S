/* The Lua library as a C string: char meter_functions[]. */
    .section .rodata
    .global meter_functions
    .type meter_functions, @object
meter_functions:
    .incbin "functions.lua"
    .incbin "leases.lua"
    .byte 0
    .size meter_functions, . - meter_functions

    .section .note.GNU-stack, "", @progbits
