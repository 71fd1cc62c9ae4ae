"""The efficiency study of the paper's figure 2: what a picture and its sentence are learnt for."""
