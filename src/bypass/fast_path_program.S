/* src/kernel/fast_path.c, compiled for the kernel, as bytes. */
    .section .rodata
    .balign 8
    .global fast_path_program, fast_path_program_end
    .type fast_path_program, @object
fast_path_program:
    .incbin "fast_path.bpf.o"
fast_path_program_end:
    .size fast_path_program, . - fast_path_program

    .section .note.GNU-stack, "", @progbits
