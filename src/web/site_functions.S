/* The Lua library as a C string: char site_functions[]. */
    .section .rodata
    .global site_functions
    .type site_functions, @object
site_functions:
    .incbin "site.lua"
    .incbin "registrations.lua"
    .byte 0
    .size site_functions, . - site_functions

    .section .note.GNU-stack, "", @progbits
