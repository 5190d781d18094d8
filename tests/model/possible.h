/*
 * POSSIBLE marks a step that some run must take, or the model would prove less than it seems to.
 * It is no part of the state; `run` reads what the verifier prints in the end.
 */
c_decl {
    static unsigned char possible_lines[2000]; /* which were taken */

    static void __attribute__((destructor)) tell_reached(void)
    {
        for (int line = 0; line < 2000; line++)
            if (possible_lines[line])
                printf("reached %d\n", line);
    }
};

#define POSSIBLE c_code { possible_lines[__LINE__] = 1; }
