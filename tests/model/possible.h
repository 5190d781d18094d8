/*
 * POSSIBLE marks a step that some run must take, or the model would prove less than it seems to.
 * It is no part of the state; `run` reads what the verifier prints in the end.
 */
c_decl {
    static unsigned char reached[2000]; /* by line */

    static void __attribute__((destructor)) tell_reached(void)
    {
        for (int line = 0; line < 2000; line++)
            if (reached[line])
                printf("reached %d\n", line);
    }
};

#define POSSIBLE c_code { reached[__LINE__] = 1; }
